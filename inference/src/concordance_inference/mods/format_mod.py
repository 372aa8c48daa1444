"""The mod that enforces a request's output format. The engine adds it; no request names it."""

from collections.abc import Callable, Sequence
from functools import cached_property

from concordance_sdk import Action, Actions, Added, ForwardPass, Prefilled, Tokenizer, mod
from concordance_sdk.constraints import Constrained, Constraint, compile_constraint
from concordance_sdk.constraints.channel_start import MAX_SPLIT
from concordance_sdk.host import definition_of
from concordance_sdk.request_context import may_write
from concordance_shared import ConstraintError, FinishReason

from concordance_inference.generation import Completed, GenerationRequest, ModCall
from concordance_inference.mods.compiling import COMPILE_S, compile_within
from concordance_inference.mods.description import ENFORCES
from concordance_inference.mods.enforcement_errors import refusal, violation
from concordance_inference.output_format import OutputFormat
from concordance_inference.reasoning import (
    REASONING_TAGS,
    after_reasoning,
    is_closed,
    opened_tag,
)
from concordance_inference.time_limit import TimeLimitError
from concordance_inference.tools.call_output import CallOutput

#: The prompt's tokens in which a tag is searched.
_PROMPT_TAIL = 32


@mod(name="output_format", registered=False)
class FormatMod:
    """Enforces an output format from the first token, or from the end of the reasoning.

    The last of the request's mods, so it sees what they force: a text that the format does not
    allow is an error. If the model can reason, its first token opens the reasoning or begins the
    formatted text, as the model chooses.
    """

    output: OutputFormat | CallOutput
    opens: bool = False  # the prompt, as the request renders it, opens the reasoning
    stop_token_ids: tuple[int, ...] = ()  # of the request

    def __init__(self) -> None:
        """Constrain nothing before the prompt is known."""
        self._token_ids: list[int] = []
        self._tags: tuple[str, str] | None = None  # of the reasoning that the prompt opened
        self._may_think = False
        self._constrained: Constrained | None = None
        self._begins_at_start = False

    @property
    def max_backtrack(self) -> int:
        """Tokens that a stream holds back: those in which a closing tag of several tokens ends."""
        return MAX_SPLIT if self.opens and self._thought is None else 0

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Compile the format.

        Raises:
            SchemaError: The schema cannot be enforced, or not be compiled in time.
            InvalidRequestError: Another format cannot.
        """
        self._tokenizer = tokenizer
        try:
            compile_within(COMPILE_S, self._compile)
        except (ConstraintError, TimeLimitError) as exc:
            raise refusal(self.output, exc) from exc

    def _compile(self) -> None:
        self._constraint: Constraint = self.output.constraint()
        compile_constraint(self._constraint, self._tokenizer)

    @cached_property
    def _thought(self) -> tuple[int, str] | None:
        """The token that opens the model's reasoning, and the tag that closes it."""
        for opening, closing in REASONING_TAGS:
            token_ids = self._tokenizer.encode(opening)
            if len(token_ids) == 1 and len(self._tokenizer.encode(closing)) == 1:
                return token_ids[0], closing
        return None

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> None:
        """Decide by the end of the prompt where the formatted text can begin."""
        del actions
        end = tokenizer.decode(event.context_info.tokens[-_PROMPT_TAIL:])
        self._tags = opened_tag(end)
        self._may_think = not self._tags and not is_closed(end) and self._thought is not None

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force or mask the next token; in the reasoning, only mask its end."""
        self._follow(event.step, ())
        if not event.step and self._may_think:
            return actions.adjust_logits(mask=self._first_mask()) if may_write(0) else None
        constrained = self._chosen(event.step, tokenizer)
        if constrained is None:
            return None
        action = constrained.forward_pass(event, actions, tokenizer)
        if action is None and not constrained.is_begun and may_write(event.step):
            return actions.adjust_logits(ban=sorted(tokenizer.eos_token_ids))
        return action

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow the completion, and force what must follow, unless a stop token has ended it.

        Raises:
            ConstraintError: Another mod forced tokens that the format does not allow.
        """
        self._follow(event.step, event.added_tokens)
        try:
            constrained = self._chosen(event.step, tokenizer)
            action = constrained and constrained.added(event, actions, tokenizer)
        except ConstraintError as exc:
            raise violation(exc, event, self.output.field) from exc
        return actions.noop() if event.added_tokens[-1] in self.stop_token_ids else action

    def _follow(self, step: int, added: Sequence[int]) -> None:
        del self._token_ids[step:]
        self._token_ids += added
        if not step and self._may_think:
            self._constrained = None  # the first token decides again

    def _chosen(self, step: int, tokenizer: Tokenizer) -> Constrained | None:
        """The constraint, which begins at the start or after the closing tag.

        `None` while another mod writes a text at the start, which it may erase.
        """
        if self._constrained is None:
            closing = self._closing()
            self._begins_at_start = closing is None
            self._constrained = Constrained(self._constraint, after=closing)
        constrained = self._constrained
        if self._begins_at_start and not constrained.is_begun:
            if not may_write(len(self._token_ids), by=constrained, beside=Constrained):
                return None
            constrained.begin(0, self._token_ids[:step], tokenizer)
        return constrained

    def _closing(self) -> str | None:
        """The tag that closes the reasoning; `None` if there is none."""
        if self._tags:
            return self._tags[1]
        if self._may_think and self._thought and self._token_ids[:1] == [self._thought[0]]:
            return self._thought[1]
        return None

    def _first_mask(self) -> bytes:
        """The first tokens of the format, and the one that opens the reasoning."""
        assert self._thought is not None
        mask = compile_constraint(self._constraint, self._tokenizer).start(at_start=True).mask()
        token_id, merged = self._thought[0], bytearray(mask)
        merged[token_id // 8] |= 1 << token_id % 8
        return bytes(merged)


def with_format(
    mods: Sequence[ModCall],
    output: OutputFormat | CallOutput | None,
    *,
    opens: bool,
    stop_token_ids: tuple[int, ...] = (),
) -> tuple[ModCall, ...]:
    """Return the mods of a request and, last, the one that enforces its format.

    A mod that enforces the `response_format` itself says so by the attribute
    `enforces_response_format` of its class; the format is then not enforced a second time.

    Args:
        mods: The mods that the request names.
        output: The format; `None` for free text.
        opens: The prompt opens the model's reasoning.
        stop_token_ids: The tokens that end the completion wherever they are.
    """
    if output is None or enforces_itself(output, mods):
        return tuple(mods)
    parameters = {"output": output, "opens": opens, "stop_token_ids": stop_token_ids}
    call = ModCall(definition=_DEFINITION, parameters=parameters, name=output.field)
    return (*mods, call)


def format_fault(
    request: GenerationRequest, completed: Completed, decode: Callable[[Sequence[int]], str]
) -> ConstraintError | None:
    """Return the error of a finished completion that a mod made, against the format.

    A mod that sets the whole output (`force_output`) ends the request before the format sees it.

    Args:
        request: The request.
        completed: Its completion.
        decode: Decodes token ids, special tokens by name.
    """
    *others, last = request.mods or (None,)
    is_finished = completed.finish_reason is FinishReason.STOP and completed.stopped_by is None
    if not others or last is None or last.definition is not _DEFINITION or not is_finished:
        return None
    output: OutputFormat | CallOutput = last.parameters["output"]
    if isinstance(output, CallOutput):  # `call_fault` checks it
        return None
    text = after_reasoning(decode(completed.token_ids), opens=last.parameters["opens"])
    if text is not None and output.allows(text):
        return None
    return ConstraintError(
        f"{output.field}: it does not allow the completion {completed.text!r:.80}, which a mod of "
        f"the request made; leave out that mod, or {output.field}",
        param=output.field,
        mod=output.field,
        event="Finished",
        step=len(completed.token_ids),
    )


def enforces_itself(output: OutputFormat | CallOutput, mods: Sequence[ModCall]) -> bool:
    """True if one of the mods enforces the format: a `response_format`, as its class says."""
    return output.has_response_format and any(
        getattr(getattr(call.definition, "target", call.definition), ENFORCES, False) is True
        for call in mods
    )


_DEFINITION = definition_of(FormatMod)
