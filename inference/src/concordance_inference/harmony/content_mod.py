"""The mod that enforces formats within the messages of gpt-oss. The engine adds it.

A response format holds in `final` messages, and the schema of a tool in the arguments of its
calls: there, and only there. The header guard decides which messages there are.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from concordance_sdk import Action, Actions, Added, ForwardPass, Prefilled, Tokenizer, mod
from concordance_sdk.channels import get_channels
from concordance_sdk.constraints import Constrained
from concordance_sdk.host import definition_of
from concordance_sdk.request_context import may_write
from concordance_shared import ChannelPlace, ConstraintError

from concordance_inference.generation import ModCall
from concordance_inference.harmony.content_formats import compiled_formats
from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_inference.mods.enforcement_errors import violation
from concordance_inference.mods.format_mod import enforces_itself
from concordance_inference.output_format import OutputFormat
from concordance_inference.tools.offer import ToolOffer

if TYPE_CHECKING:
    from concordance_sdk.channels.completion_channels import Stretch


@mod(name="harmony_content", registered=False, max_backtrack=0)
class HarmonyContentMod:
    """Enforces a format from the first token of a message on, and forces the token that ends it.

    Sleeps in messages without a format: there it is not called, and tokens are sampled ahead.

    The last of the request's mods, so it sees what they force: a text that the format does not
    allow is an error.
    """

    tokens: HarmonyTokens
    output: OutputFormat | None = None  # of `final` messages
    offer: ToolOffer | None = None
    stop_token_ids: tuple[int, ...] = ()  # of the request

    def __init__(self) -> None:
        """Constrain nothing before a message begins."""
        self._before: list[int] = []  # of the message in which the prompt ends
        self._message: Stretch | None = None  # that is constrained
        self._constrained: Constrained | None = None
        self._is_call = False  # of a tool

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Compile the formats.

        Raises:
            SchemaError: One cannot be enforced, or not be compiled in time.
            InvalidRequestError: A format that is no JSON Schema cannot.
        """
        self._formats = compiled_formats(self.output, self.offer, tokenizer)

    def prefilled(self, event: Prefilled, actions: Actions) -> None:
        """Keep the beginning of a message that the completion continues."""
        del actions
        channels = get_channels()
        if channels and not channels.place.in_header:
            ids = event.context_info.tokens
            begin = len(ids)
            while begin and ids[begin - 1] != self.tokens.message:
                begin -= 1
            self._before = list(ids[begin:])

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force or mask the next token of a message with a format."""
        constrained = self._constrained_at(event.step, event.step, tokenizer)
        return constrained and constrained.forward_pass(event, actions, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow the completion, and force what must follow, unless a stop token has ended it.

        Raises:
            ConstraintError: Another mod forced tokens that the format does not allow.
        """
        before = self._constrained_at(event.step, event.step, tokenizer)
        try:
            # A message that these tokens end is checked, unless they begin another one with a
            # format.
            length = event.step + len(event.added_tokens)
            now = self._constrained_at(length, event.step, tokenizer) or before
            # Otherwise it has seen the tokens of this event.
            is_old = self._message is not None and self._message.begin <= event.step
            action = now.added(event, actions, tokenizer) if now and is_old else None
        except ConstraintError as exc:
            raise violation(exc, event, self._field) from exc
        return actions.noop() if event.added_tokens[-1] in self.stop_token_ids else action

    def acts_in(self, place: ChannelPlace) -> bool:
        """True in a message with a format. Elsewhere the mod sleeps, and is not called."""
        return self._formats.of(place) is not None

    def _constrained_at(self, length: int, step: int, tokenizer: Tokenizer) -> Constrained | None:
        """The constraint after the first tokens of the completion; `None` where text is free.

        A message whose header was removed and written again is another one.

        Args:
            length: The number of these tokens.
            step: Of the event, whose tokens a constraint is given later that begins before it.
            tokenizer: The model's.
        """
        channels = get_channels()
        message = channels and channels.stretch_at(length)
        constraint = message and self._formats.of(message.place)
        if channels is None or message is None or constraint is None:
            return None
        if message is not self._message:
            begin, self._is_call = message.begin, message.place.is_to_tool
            end_id = self.tokens.call if self._is_call else self.tokens.return_
            constrained = Constrained(constraint, end_id=end_id)
            if not may_write(max(begin, step), by=constrained, beside=Constrained, anywhere=True):
                return None
            earlier = [] if begin else self._before
            seen = [*earlier, *channels.token_ids(begin, step if begin <= step else length)]
            constrained.begin(begin - len(earlier), seen, tokenizer)
            self._message, self._constrained = message, constrained
        return self._constrained

    @property
    def _field(self) -> str:
        """The field of the request that has the format of the message."""
        return self.output.field if self.output and not self._is_call else "tools"


def with_contents(
    mods: Sequence[ModCall],
    tokens: HarmonyTokens,
    output: OutputFormat | None,
    offer: ToolOffer | None,
    stop_token_ids: tuple[int, ...] = (),
) -> tuple[ModCall, ...]:
    """Return the mods of a request and, last, the one that enforces its formats.

    Args:
        mods: The mods that the request names.
        tokens: The structural tokens.
        output: The format of `final` messages.
        offer: The tools.
        stop_token_ids: The tokens that end the completion wherever they are.
    """
    output = None if output and enforces_itself(output, mods) else output
    if output is None and offer is None:
        return tuple(mods)
    parameters = {
        "tokens": tokens,
        "output": output,
        "offer": offer,
        "stop_token_ids": stop_token_ids,
    }
    name = "tools" if output is None else output.field
    return (*mods, ModCall(definition=_DEFINITION, parameters=parameters, name=name))


def output_of(mods: Sequence[ModCall]) -> OutputFormat | None:
    """Return the format that the last of a request's mods enforces in `final`, if any."""
    last = mods[-1] if mods else None
    if last is None or last.definition is not _DEFINITION:
        return None
    return last.parameters["output"]


_DEFINITION = msgspec.structs.replace(
    definition_of(HarmonyContentMod), acts_in=HarmonyContentMod.acts_in
)
