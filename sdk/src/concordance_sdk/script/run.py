"""What a script is given: the steps that it can yield, and what it can read."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar, cast

from concordance_shared import ToolCall
from concordance_shared.channels import FINAL
from concordance_shared.legality import MAX_TEMPERATURE

from concordance_sdk.constraints import Constraint
from concordance_sdk.constraints.constraint import require_constraint
from concordance_sdk.script.ask import Ask
from concordance_sdk.script.choose import Choose
from concordance_sdk.script.generate import Bias, Generate, GenerateOptions, Temperature
from concordance_sdk.script.mark import Guard, Mark
from concordance_sdk.script.step import (
    End,
    Force,
    ForceInFinal,
    Look,
    Rewind,
    Scene,
    SendReport,
    Step,
    Stop,
)
from concordance_sdk.self_prompt.edit import EraseMode

if TYPE_CHECKING:
    from concordance_shared import Prefilled

S = TypeVar("S", bound=Step)

#: `until` of `run.generate`.
Until = str | Sequence[str] | Callable[[str], object]


class ScriptRun:
    """One run of a script, for one request: the argument of a script mod.

    The methods down to `error` make steps. A step does something once the script yields it, and
    `yield` returns its result. The other methods and the attributes need no `yield`.

    Attributes:
        tokenizer: The model's tokenizer.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... def polite(run, question: str = " Was that polite? "):
        ...     start = run.mark()
        ...     yield run.generate()
        ...     verdict = yield run.ask(question, ChoicesStrat(["yes", "no"]))
        ...     if verdict == "no":
        ...         yield run.rewind(start)
        ...         yield run.force("Dear reader,")
        ...         yield run.generate()
        >>> play(polite, says="Go away.<eos>n hello.").text
        'Dear reader, hello.'
    """

    def __init__(self, scene: Scene) -> None:
        """Make the run of a script that has not started."""
        self.tokenizer = scene.tokenizer
        self._scene = scene

    # Steps

    def generate(  # noqa: PLR0913  # each is a condition or a change of its own
        self,
        until: Until | None = None,
        *,
        keeps_until: bool = False,
        sentences: int | None = None,
        tokens: int | None = None,
        constraint: Constraint | None = None,
        channel: str | None = None,
        temperature: Temperature | None = None,
        bias: Bias | None = None,
        ban: str | Sequence[str] = (),
        logprobs: bool = False,
    ) -> Step:
        """Have the model generate, until one of the conditions is met or it ends by itself.

        The result is the text. An end-of-sequence token ends the step, not yet the request: the
        next step that writes removes it, and without one the request ends.

        Args:
            until: A text, several, or a function of the text of this step that returns True at its
                end. What follows the text is removed.
            keeps_until: True to keep the text of `until`; False to remove it, too.
            sentences: The number of sentences.
            tokens: The maximum number of tokens.
            constraint: The texts that are allowed; the step ends with the constrained text.
            channel: The constrained text begins where this channel does, such as `final`; the model
                writes freely before.
            temperature: The temperature of these tokens; 0 takes the top token. A function of the
                logits is called at each position; it may return `None` for the request's.
            bias: Token id, or word -> the amount added to its logit, in nats. Or an array, which
                may be on the device: (vocab,) floats. Or a function of the logits, called at each
                position, that returns one or the other, by token ids.
            ban: Words and phrases that cannot appear.
            logprobs: True to compute the log-probabilities of the tokens.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: A number is negative, a text is empty, `keeps_until` is without `until`, or
                `channel` without `constraint`.
            ConstraintError: `constraint` is not one.
        """
        if keeps_until and until is None:
            raise ValueError("`keeps_until` of run.generate has no effect without `until`")
        if channel is not None and constraint is None:
            raise ValueError("`channel` of run.generate has no effect without `constraint`")
        if constraint is not None:
            require_constraint(constraint, "the constraint of run.generate")
        predicate = until if callable(until) else None
        if not callable(temperature):
            _check_temperature(temperature)
        if not callable(bias) and not hasattr(bias, "shape"):
            _check_bias(bias)
        _check_count("sentences", sentences, least=1)
        _check_count("tokens", tokens, least=0)
        options = GenerateOptions(
            until=() if predicate else _texts("until", until),
            keeps_until=keeps_until,
            predicate=predicate,
            sentences=sentences,
            tokens=tokens,
            constraint=constraint,
            channel=channel,
            temperature=temperature,
            bias=bias,
            ban=_texts("ban", ban),
            logprobs=logprobs,
        )
        return self.step(Generate(options))

    def ask(
        self,
        prompt: str,
        constraint: Constraint,
        *,
        erase: EraseMode | str = EraseMode.ALL,
        temperature: float | None = None,
        logprobs: bool = False,
    ) -> Step:
        """Ask the model a question.

        The result is the answer; `.value` is its value, such as parsed JSON. What is erased is
        never shown to the client.

        Args:
            prompt: The question, as text that follows the completion.
            constraint: The answers that are allowed.
            erase: `"all"` removes question and answer again, `"prompt"` only the question, and
                `"none"` keeps both in the completion.
            temperature: The temperature of the answer's tokens; 0 takes the top token.
            logprobs: True to compute the log-probabilities of the answer's tokens.

        Raises:
            TypeError: The prompt is not text.
            ConstraintError: `constraint` is not one.
        """
        if not isinstance(cast(object, prompt), str):
            raise TypeError(f"the prompt of run.ask is text, not {prompt!r:.60}")
        _check_temperature(temperature)
        return self.step(
            Ask(
                prompt,
                constraint,
                erase=EraseMode(erase),
                temperature=temperature,
                logprobs=logprobs,
            )
        )

    def choose(self, texts: Sequence[str]) -> Step:
        """Append that of several texts which the model finds most probable here.

        The result is the text; `.probabilities` are those of all of them, in their order. Takes one
        forward pass for each position at which one of them continues; texts that begin alike share
        passes. Where one text begins another, the shorter one counts without its continuation.

        Raises:
            TypeError: They are not texts.
            ValueError: There are fewer than two, an empty one, or one twice.
        """
        chosen = _texts("choose", texts)
        if len(chosen) < 2 or len(set(chosen)) < len(chosen):
            raise ValueError(f"run.choose takes at least two different texts, not {texts!r:.60}")
        return self.step(Choose(chosen))

    def force(self, text: str | Sequence[int], *, channel: str | None = None) -> Step:
        """Append a text, or token ids, without sampling. The result is the text.

        Args:
            text: The text, or the token ids.
            channel: `final` to append it there: the step ends the reasoning and opens the channel
                if it has to, once the model has finished a call of a tool or a header.

        Raises:
            TypeError: The text is neither.
            ValueError: A token id is outside the vocabulary, or the channel is not `final`.

        Examples:
            >>> from concordance_sdk import mod
            >>> from concordance_sdk.testing import play, tag_channels
            >>> @mod
            ... def brief(run):
            ...     yield run.generate(tokens=9)
            ...     yield run.force("So:", channel="final")
            ...     yield run.generate()
            >>> play(brief, says="<think>hm4", channels=tag_channels()).text
            '<think>hm</think>So:4'
        """
        if channel not in (None, FINAL):
            raise ValueError(f"run.force opens the channel 'final', not {channel!r:.60}")
        if not isinstance(text, str):
            text = _token_ids(text, self.tokenizer.vocab_size)
        return self.step(Force(text) if channel is None else ForceInFinal(text))

    def rewind(self, mark: Mark) -> Step:
        """Remove the text after a mark.

        If the completion had ended at the mark, it has ended again.

        Raises:
            TypeError: It is not a mark of `run.mark()`.
            ValueError: The mark is released: a stream may have shown the text after it. Or it is
                one of another request.
        """
        if not isinstance(cast(object, mark), Mark):
            raise TypeError(f"run.rewind takes a mark of run.mark(), not {mark!r:.60}")
        if not mark.is_released and mark not in self._scene.marks:
            raise ValueError(
                "run.rewind: the mark is of another request; make one in each by run.mark()"
            )
        if mark.is_released:
            raise ValueError(
                "run.rewind: the mark was released, after which a stream shows the text after it; "
                "release it later"
            )
        return self.step(Rewind(mark))

    def logits(self) -> Step:
        """Wait for the logits of the next position. The result is a `Logits`.

        Removes an end-of-sequence token at the end first, since no position follows it. A loop
        ends where `run.generate(tokens=1)` was `ended_by` the model.
        """
        return self.step(Look())

    def report(self, /, **data: Any) -> Step:
        """Send data to the client beside the completion; see `actions.report`.

        It is sent when the script yields this or its next step, or ends. In a `finally` block,
        which may run after the request has ended, it must not be yielded.

        Raises:
            ValueError: It has no data.
        """
        if not data:
            raise ValueError(
                "run.report() sends nothing; give values by name: run.report(key=value)"
            )
        return self.step(SendReport(data))

    def stop(self) -> Step:
        """End the completion here, and the script: nothing after it runs but `finally` blocks."""
        return self.step(Stop())

    def tool_call(self, name: str, /, **arguments: Any) -> Step:
        """End the completion with a tool call. Earlier text stays in the content."""
        return self.tool_calls([{"name": name, "arguments": arguments}])

    def tool_calls(
        self, calls: ToolCall | Mapping[str, Any] | Sequence[ToolCall | Mapping[str, Any]]
    ) -> Step:
        """End the completion with tool calls, in OpenAI's shape; see `actions.tool_calls`."""
        return self.step(End("run.tool_calls(...)", lambda actions: actions.tool_calls(calls)))

    def error(self, message: str) -> Step:
        """End the request with an error that the client receives."""
        return self.step(End("run.error(...)", lambda actions: actions.emit_error(message)))

    def step(self, step: S) -> S:
        """Make a step of your own, an object of a subclass of `Step`.

        Raises:
            TypeError: It is not a step.
        """
        if not isinstance(cast(object, step), Step):
            raise TypeError(f"run.step takes a Step, not {step!r:.60}")
        step.made_at = _own_place()
        self._scene.made.append(step)
        return step

    # Positions

    def mark(self) -> Mark:
        """Mark the current position, for `rewind`. See `Mark` for what a stream holds back."""
        draft = self._scene.draft
        mark = Mark(draft.num_text_tokens, draft.end_ids)
        self._scene.marks.add(mark)
        return mark

    def guard(self) -> Guard:
        """Raise `Rewound` at the `yield` at which another mod has removed text written before.

        Without a guard, the current step continues at the new end of the completion.

        Examples:
            >>> from concordance_sdk import mod
            >>> from concordance_sdk.script import Rewound
            >>> @mod
            ... def with_title(run):
            ...     yield run.force("Title:")
            ...     try:
            ...         with run.guard():
            ...             yield run.generate()
            ...     except Rewound:
            ...         yield run.force("Title:")
        """
        scene = self._scene
        guard = Guard(scene.draft.num_text_tokens, scene.guards, made_at=_own_place())
        scene.new_guards.append(guard)
        return guard

    # What it can read

    @property
    def text(self) -> str:
        """The completion so far."""
        return str(self._scene.draft.text)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The token ids of the completion so far."""
        return tuple(self._scene.draft.token_ids)

    @property
    def position(self) -> int:
        """The number of tokens of the completion so far."""
        return len(self._scene.draft)

    @property
    def max_tokens(self) -> int:
        """The token budget of the completion."""
        return _prefilled(self._scene).max_steps

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The token ids of the prompt."""
        return _prefilled(self._scene).context_info.tokens

    @property
    def request_id(self) -> str:
        """Identifies the request."""
        return _prefilled(self._scene).request_id


def _prefilled(scene: Scene) -> "Prefilled":
    assert scene.prefilled is not None  # a script starts with this event
    return scene.prefilled


def _own_place() -> str:
    """The file and line of the script that is being run: the innermost outside of this module."""
    frame = inspect.currentframe()
    while frame and frame.f_globals is globals():
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "an unknown line"


_TEXTS = "a text, or a list of texts"

#: What arguments take, for messages.
_TAKEN = {
    "until": "a text, a list of texts, or a function of the text; for a number of tokens, `tokens`",
    "choose": "a list of texts",
}


def _texts(what: str, texts: object) -> tuple[str, ...]:
    """Normalize one text, several, or `None`."""
    if texts is None:
        return ()
    given = (texts,) if isinstance(texts, str) else texts
    if not isinstance(given, Sequence) or not all(
        isinstance(text, str) for text in cast(Sequence[object], given)
    ):
        raise TypeError(f"`{what}` takes {_TAKEN.get(what, _TEXTS)}, not {texts!r:.60}")
    each = tuple(cast(Sequence[str], given))
    if not all(each):
        raise ValueError(f"`{what}` takes texts that are not empty: {texts!r:.60}")
    return each


def _token_ids(token_ids: object, vocab_size: int) -> list[int]:
    """The token ids that `run.force` takes."""
    if not isinstance(token_ids, Iterable):
        raise TypeError(f"run.force takes text or token ids, not {token_ids!r:.60}")
    checked: list[int] = []
    for token_id in cast(Iterable[object], token_ids):
        if isinstance(token_id, bool) or not isinstance(token_id, Integral):
            raise TypeError(
                f"run.force takes one text, or token ids, which are integers, not {token_id!r:.60}"
            )
        checked.append(int(token_id))
    wrong = [token_id for token_id in checked if not 0 <= token_id < vocab_size]
    if wrong:
        raise ValueError(
            f"token id {wrong[0]} of run.force is outside the vocabulary of {vocab_size} tokens"
        )
    return checked


def _check_temperature(temperature: object) -> None:
    if temperature is None:
        return
    if not isinstance(temperature, int | float) or isinstance(temperature, bool):
        raise TypeError(
            f"`temperature` is a number, or a function of the logits, not {temperature!r:.60}"
        )
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise ValueError(f"`temperature` is 0 to {MAX_TEMPERATURE:g}, not {temperature}")


def _check_bias(bias: object) -> None:
    if bias is None:
        return
    if not isinstance(bias, Mapping):
        raise TypeError(
            "`bias` maps token ids or words to numbers, is an array, or a function of the logits, "
            f"not {bias!r:.60}"
        )
    for key, value in cast(Mapping[object, object], bias).items():
        is_key = key if isinstance(key, str) else isinstance(key, int)
        if not is_key or not isinstance(value, int | float) or not -math.inf <= value < math.inf:
            raise TypeError(
                "`bias` maps token ids or words to finite numbers, not "
                f"{key!r:.40} to {value!r:.40}"
            )


def _check_count(what: str, count: object, *, least: int) -> None:
    if count is None:
        return
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"`{what}` of run.generate is a number, not {count!r:.60}")
    if count < least:
        raise ValueError(f"`{what}` of run.generate is at least {least}, not {count}")
