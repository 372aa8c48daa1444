"""A quick check that a mod behaves in every request, alone and beside other mods.

It is independent of what the mod does. It plays the mod in many small scenes: prompts of every
length, conversations of one and of several turns, every way to end, other mods that act at every
step, streams, the same request twice, interleaved requests. In none of them may a mod raise, behave
differently, or mix up requests.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from concordance_shared import (
    Added,
    ConstraintError,
    Conversation,
    EmittedError,
    FunctionCall,
    Message,
    ModError,
    ToolCall,
)
from msgspec import Struct
from msgspec.structs import replace

from concordance_sdk.action_builder import Actions
from concordance_sdk.composition import ModUse, use
from concordance_sdk.definition import CAN_BACKTRACK, DEFAULT_MAX_BACKTRACK
from concordance_sdk.host.instance import InProcessMod
from concordance_sdk.mod import mod
from concordance_sdk.request_context import RequestContext
from concordance_sdk.testing.byte_tokenizer import ByteTokenizer
from concordance_sdk.testing.lone_space import text_before_lone_space
from concordance_sdk.testing.played import Played
from concordance_sdk.testing.playing import Playing, Scene
from concordance_sdk.tokenizer import Tokenizer

#: Maximum length of the prompts tried, in tokens.
_LONGEST_PROMPT = 48

#: Other mods act at every step below this.
_LONGEST_STEP = 32

#: Texts with what mods search for: sentences, numbers, rare characters, tags, lists, code.
_TEXTS = (
    "",
    'It is 3.5 km. Not far! She said "no".\n\n- one\n- two\n',
    "naïve € 你好 😀.",
    '<think>Hm.</think>{"a": [1, true]}\n```\ncode\n```',
)

#: What most scenes ask: a chat request has at least one message.
_QUESTION = Message(role="user", content="What is the capital of France, and what is 12 * 7?")

#: Conversations that chat clients send, by a description.
_CONVERSATIONS = {
    "one message": (_QUESTION,),
    "a system message": (Message(role="system", content="Be brief."), _QUESTION),
    "two turns": (
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hello! How can I help?"),
        _QUESTION,
    ),
    "a tool's result": (
        _QUESTION,
        Message(
            role="assistant",
            tool_calls=(
                ToolCall(id="call_1", function=FunctionCall("search", '{"query": "12*7"}')),
            ),
        ),
        Message(role="tool", tool_call_id="call_1", content="84"),
    ),
}

_Outcome = tuple[str, object]


class Check(Struct, frozen=True, kw_only=True):
    """One property that was checked, and the first problem found.

    Attributes:
        name: The property.
        num_scenes: The number of scenes in which it was checked.
        problem: The first problem; `None` if the property holds.
        num_failed: The number of scenes in which the mod failed, so that nothing was compared.

    Examples:
        >>> Check(name="streams", num_scenes=8, problem=None).is_checked
        True
    """

    name: str
    num_scenes: int
    problem: str | None
    num_failed: int = 0

    @property
    def is_checked(self) -> bool:
        """True if the mod worked in at least one scene, or the property does not hold."""
        return self.num_scenes > 0

    def __str__(self) -> str:
        """Return a line, followed by the problem."""
        return "\n".join([self.line, *(f"      {line}" for line in self.problem_lines)])

    @property
    def problem_lines(self) -> list[str]:
        """The lines of the problem: the scene, then the error or the difference."""
        return (self.problem or "").splitlines()

    @property
    def line(self) -> str:
        """The result in one line, without the problem."""
        if not self.is_checked:
            return f"----  {self.name} (not checked: the mod fails in all {self.num_failed} scenes)"
        mark = "ok  " if self.problem is None else "FAIL"
        skipped = f"; not compared in {self.num_failed} that fail" if self.num_failed else ""
        return f"{mark}  {self.name} ({self.num_scenes} played{skipped})"


class ConformanceReport(Struct, frozen=True, kw_only=True):
    """The checks of a mod and their problems. As text, one line per check.

    Attributes:
        mod: The mod's name.
        checks: The properties that were checked.
        notes: What is probably not meant, but breaks no rule.

    Examples:
        >>> streams = Check(name="streams", num_scenes=8, problem="backtracked too far")
        >>> print(ConformanceReport(mod="m", checks=(streams,)))
        FAIL  streams (8 played)
              backtracked too far
    """

    mod: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_passed(self) -> bool:
        """True if every property was checked and no check found a problem."""
        return all(check.problem is None and check.is_checked for check in self.checks)

    def __str__(self) -> str:
        """Return one line per check, followed by its problem, and one per note.

        An error that an earlier check found is not repeated.
        """
        lines: list[str] = []
        known: set[tuple[str, ...]] = set()
        for check in self.checks:
            scene, error = check.problem_lines[:1], tuple(check.problem_lines[1:])
            shown = ("the same error",) if error and error in known else error
            known.add(error)
            lines += [check.line, *(f"      {line}" for line in (*scene, *shown))]
        return "\n".join([*lines, *(f"note  {note}" for note in self.notes)])


def check_conformance(
    target: Any, *, tokenizer: Tokenizer | None = None, texts: Sequence[str] = ()
) -> ConformanceReport:
    """Play a mod in many small scenes and report what is wrong with it.

    Args:
        target: The mod, or `use(mod, parameter=value)`.
        tokenizer: The model's tokenizer; by default one whose tokens are bytes.
        texts: Further completions of the model that the mod reacts to. Strings among the mod's
            parameters are included anyway.

    Raises:
        InvalidRequestError: The mod requires parameters and none were given.

    Examples:
        >>> from concordance_sdk.builtin import Replace
        >>> from concordance_sdk import use
        >>> report = check_conformance(use(Replace, find="one", replacement="two"))
        >>> report.is_passed, len(report.checks)
        (True, 7)
    """
    used = target if isinstance(target, ModUse) else use(target)
    stage = _Stage(used, tokenizer or ByteTokenizer(), (*_TEXTS, *texts, *_texts_in(used)))
    checks = tuple(_checked(name, check(stage)) for name, check in _CHECKS.items())
    notes = (_space_note(stage), _prompt_note(stage), _hold_note(stage))
    return ConformanceReport(
        mod=used.definition.name,
        checks=checks,
        notes=tuple(note for note in notes if note),
    )


class _Stage:
    """A mod and the scenes it is played in.

    Attributes:
        is_passive: True if the mod, played alone, has neither forced nor backtracked a token yet,
            and has not failed.
    """

    def __init__(self, used: ModUse, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
        self.used = used
        self.is_passive = True
        self.scenes = [
            Scene(
                script=text,
                resumes=resumes,
                tokenizer=tokenizer,
                max_tokens=96,
                conversation=Conversation(messages=(_QUESTION,)),
            )
            for text in dict.fromkeys(texts)
            for resumes in (True, False)
        ]

    def hold(self) -> int | None:
        """Return the number of tokens that a stream holds back for the mod."""
        scene = self.scenes[-1]
        request = RequestContext(scene.conversation, request_id="hold")
        used = self.used
        return InProcessMod(
            used.definition, used.parameters, tokenizer=scene.tokenizer, request=request
        ).max_backtrack

    def outcome(self, scene: Scene, mods: Sequence[ModUse] | None = None) -> _Outcome:
        """Return the result or the error of a scene."""
        playing = Playing([self.used] if mods is None else mods, scene)
        (outcome,) = _interleaved_outcomes([playing])
        if mods is None:
            has_acted = playing.state.num_forced or playing.state.num_backtracked
            self.is_passive &= not has_acted and outcome[0] != "failed"
        return outcome


def _interleaved_outcomes(playings: Sequence[Playing]) -> list[_Outcome]:
    """Play several requests step by step, in turn, and return their outcomes."""
    while running := [playing for playing in playings if not playing.is_over]:
        for playing in running:
            playing.step()
    return [_outcome(playing.finish) for playing in playings]


def _outcome(finish: Callable[[], Played]) -> _Outcome:
    try:
        played = finish()
    except EmittedError as exc:  # a mod may end a request deliberately
        return "ended with an error", _described(exc)
    except ModError as exc:
        is_kept = isinstance(exc.__cause__ or exc, ConstraintError)
        return ("kept to its constraint" if is_kept else "failed"), _described(exc)
    result = (played.token_ids, played.finish_reason, len(played.tool_calls))
    return "generated", (*result, *played.reports)


def _described(exc: ModError) -> str:
    """Return the message of an error, and the reports that were made before it."""
    reports = ", ".join(repr(report.data) for report in exc.reports)
    return f"{exc.message}{f' (reported: {reports})' if reports else ''}"


class _Incomparable(Struct, frozen=True):
    """The verdict on a scene in which the mod fails, where outcomes are to be compared."""


_Verdict = str | _Incomparable | None


def _checked(name: str, verdicts: Iterator[_Verdict]) -> Check:
    """Run the scenes of a check up to the first problem."""
    num_scenes = num_failed = 0
    problem: str | None = None
    for verdict in verdicts:
        if isinstance(verdict, _Incomparable):
            num_failed += 1
            continue
        num_scenes += 1
        if verdict is not None:
            problem = verdict
            break
    return Check(name=name, num_scenes=num_scenes, problem=problem, num_failed=num_failed)


def _failure(outcome: _Outcome, where: str, *, may_reject: bool = False) -> str | None:
    """Return the problem, if any. A constraint may reject tokens that another mod forces."""
    wrong = ("failed",) if may_reject else ("failed", "kept to its constraint")
    return f"{where}:\n{outcome[1]}" if outcome[0] in wrong else None


# The checks: each yields the problem of every scene, or None.


def _every_event(stage: _Stage) -> Iterator[_Verdict]:
    """Requests that end on their own, by the token limit, and by another mod's error."""
    for scene in stage.scenes:
        yield _failure(stage.outcome(scene), f"generating {scene.script!r}")
        short = replace(scene, max_tokens=7)
        yield _failure(stage.outcome(short), f"generating {scene.script!r} with max_tokens=7")
        failing = [use(_Ends, step=3), stage.used]
        yield _failure(stage.outcome(scene, failing), "with a request that another mod ends")


def _every_prompt(stage: _Stage) -> Iterator[_Verdict]:
    scene = stage.scenes[-1]
    for length in range(_LONGEST_PROMPT + 1):
        prompted = replace(scene, prompt="x" * length)
        yield _failure(stage.outcome(prompted), f"after a prompt of {length} characters")


def _every_conversation(stage: _Stage) -> Iterator[_Verdict]:
    for scene in stage.scenes[:4]:
        for what, messages in _CONVERSATIONS.items():
            asked = replace(scene, conversation=Conversation(messages=messages))
            where = f"in a conversation with {what}, generating {scene.script!r}"
            yield _failure(stage.outcome(asked), where)


def _other_mods(stage: _Stage) -> Iterator[_Verdict]:
    """Other mods that backtrack or force at every step, listed before and after it.

    A mod with a constraint may end a request if they force tokens that the constraint does not
    allow; it must not ignore them silently.
    """
    for scene in stage.scenes[2::2]:  # those in which the model resumes, so that they end
        for step in range(1, _LONGEST_STEP):
            for num_removed in sorted({1, step // 2 + 1, step}):
                tokens = [97, 98, 99] if (step + num_removed) % 2 else []
                other = use(_Acts, step=step, num_removed=num_removed, tokens=tokens)
                act = f"that backtracks {num_removed} at step {step} and forces {len(tokens)}"
                orders = {"after": [other, stage.used], "before": [stage.used, other]}
                for order, mods in orders.items():
                    where = f"generating {scene.script!r}, listed {order} a mod {act}"
                    yield _failure(stage.outcome(scene, mods), where, may_reject=bool(tokens))


def _streams(stage: _Stage) -> Iterator[_Verdict]:
    for scene in stage.scenes:
        streamed = replace(scene, is_streamed=True)
        yield _failure(stage.outcome(streamed), f"streaming {scene.script!r}")


def _twice(stage: _Stage) -> Iterator[_Verdict]:
    for scene in stage.scenes:
        first, second = stage.outcome(scene), stage.outcome(scene)
        yield _difference(first, second, f"the same request twice, generating {scene.script!r}")


def _interleaved(stage: _Stage) -> Iterator[_Verdict]:
    """A request that is interleaved with another one behaves as it does alone."""
    for i, scene in enumerate(stage.scenes):
        other = stage.scenes[(i + 3) % len(stage.scenes)]
        alone = [stage.outcome(each) for each in (scene, other)]
        playings = [Playing([stage.used], each) for each in (scene, other)]
        together = _interleaved_outcomes(playings)
        where = f"generating {scene.script!r}, interleaved with one that generates {other.script!r}"
        found = [_difference(*pair, where) for pair in zip(alone, together, strict=True)]
        yield next((problem for problem in found if isinstance(problem, str)), found[0])


_CHECKS: dict[str, Callable[[_Stage], Iterator[_Verdict]]] = {
    "every event and every way to end": _every_event,
    "prompts of every length, also empty": _every_prompt,
    "conversations of one and of several turns": _every_conversation,
    "other mods act at every step": _other_mods,
    "a stream shows nothing that is backtracked": _streams,
    "the same request twice": _twice,
    "interleaved requests are independent": _interleaved,
}


def _difference(first: _Outcome, second: _Outcome, where: str) -> _Verdict:
    """Return the problem if outcomes differ; two failures say nothing about the property."""
    if first[0] == second[0] == "failed":
        return _Incomparable()
    if first == second:
        return None
    return f"{where}, it {first[0]}\n    {first[1]}\nand then it {second[0]}\n    {second[1]}"


def _texts_in(used: ModUse) -> list[str]:
    """Return sentences with the strings among a mod's parameters, so that they occur."""
    values = used.parameters.values()
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return [f"A {text}, {text}. {text}" for text in texts if isinstance(text, str) and text]


# The notes.


def _space_note(stage: _Stage) -> str | None:
    """Note forced text that ends in a space, after which the model continues."""
    for scene in stage.scenes:
        if found := text_before_lone_space(stage.used, scene):
            return (
                f"forced text ends in a space: {found!r}. Most vocabularies join a space to the "
                "word that follows it, so the model continues from a token that it rarely saw "
                "there; leave the space to the model, or force it with the next word"
            )
    return None


def _prompt_note(stage: _Stage) -> str | None:
    """Note a failure without messages, which only a raw prompt has."""
    kind, message = stage.outcome(replace(stage.scenes[-1], conversation=Conversation()))
    is_known = stage.outcome(stage.scenes[-1])[0] == "failed"
    if kind != "failed" or is_known:
        return None
    return (
        "it fails where there are no messages, as with `LLM.generate` and `concordance generate "
        f"--raw`: {message}"
    )


def _hold_note(stage: _Stage) -> str | None:
    """Note a stream that is held back for a mod that removed nothing, if none was declared."""
    definition = stage.used.definition
    is_handler = not definition.is_script and CAN_BACKTRACK & definition.handlers.keys()
    if definition.declares_max_backtrack or not is_handler or not stage.is_passive:
        return None
    if stage.hold() != DEFAULT_MAX_BACKTRACK:  # an attribute of the instance, or of a part
        return None
    return (
        f"it declares no max_backtrack, so a stream holds back {DEFAULT_MAX_BACKTRACK} tokens, and "
        "it forced and backtracked none here; if it never backtracks, declare "
        "@mod(max_backtrack=0)"
    )


@mod(name="other", registered=False)
class _Ends:
    """Ends its request with an error, from a step on."""

    step: int

    def added(self, event: Added, actions: Actions) -> object:
        return actions.emit_error("ended by another mod") if event.step >= self.step else None


@mod(name="other", max_backtrack=None, registered=False)
class _Acts:
    """Backtracks, and forces tokens, once: when the completion has reached a length."""

    step: int
    num_removed: int
    tokens: list[int]

    def __init__(self) -> None:
        self._is_done = False

    def added(self, event: Added, actions: Actions) -> object:
        length = event.step + len(event.added_tokens)
        if self._is_done or length < self.step:
            return None
        self._is_done = True
        return actions.backtrack(min(self.num_removed, length), self.tokens)
