"""The chat format of gpt-oss."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from concordance_shared import Message, ResponseFormat, Tool

from concordance_inference.chat.rendering import USUAL, Rendering, check_rendering
from concordance_inference.chat.token_texts import TokenTexts
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.harmony.header_guard import HeaderGuard
from concordance_inference.harmony.message import (
    HarmonyMessage,
    end_id,
    header_ids,
    plain_ids,
)
from concordance_inference.harmony.messages import (
    OPTIONS,
    Instructions,
    developer_message,
    is_instruction,
    system_message,
    turn_messages,
)
from concordance_inference.harmony.offered_headers import legal_headers
from concordance_inference.harmony.tool_section import ToolSections
from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.reasoning import Tags
from concordance_inference.tools.layout import Layout
from concordance_inference.tools.offer import ToolOffer
from concordance_inference.tools.tool_format import ToolFormat

#: Names the format; calls are read by their recipients, not by these texts.
_TOOL_FORMAT = ToolFormat(
    name="harmony",
    layout=Layout(
        marker="<|channel|>commentary to=functions.",
        after_name=" <|constrain|>json<|message|>",
        tail="<|call|>",
        again=None,
    ),
)


class HarmonyFormat(TokenTexts):
    """Renders conversations in Harmony. Thread-safe.

    Attributes:
        harmony: The structural tokens.
    """

    options: frozenset[str] = OPTIONS
    reasoning_tags: Sequence[Tags] = ()
    marker_ids: tuple[int, ...] = ()
    tool_format = _TOOL_FORMAT
    can_reason = True

    def __init__(
        self,
        tokenizer: ModelTokenizer,
        tokens: HarmonyTokens,
        *,
        context_length: int | None = None,
        header_guard: bool = True,
    ) -> None:
        """Use the vocabulary of gpt-oss.

        Args:
            tokenizer: The model's tokenizer.
            tokens: Its structural tokens.
            context_length: Limit of a prompt, in tokens; `None` for no limit.
            header_guard: Let completions have only legal headers.
        """
        super().__init__(tokenizer, context_length)
        self._guards = header_guard
        self.harmony = tokens
        self._tools = ToolSections(tokenizer)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        options: Mapping[str, Any] | None = None,
        rendering: Rendering = USUAL,
        response_format: ResponseFormat | None = None,
    ) -> list[int]:
        """Render the prompt for the next assistant message.

        Raises:
            InvalidRequestError: An option has a wrong value, or a result belongs to no call.
            ContextLengthError: The messages are much longer than the context.
        """
        check_rendering(messages, rendering)
        instructions = Instructions(
            options=options or {},
            tools=self._tools.of(tools),
            response_format=response_format,
        )
        ids = [
            token_id
            for message in _messages(messages, instructions, rendering)
            for token_id in self._ids(message, rendering)
        ]
        if rendering.continues_final_message:
            return ids[:-1]
        if rendering.adds_generation_prompt:
            ids += [self.harmony.start, *self.tokenizer.encode_prompt("assistant")]
        return ids

    def _ids(self, message: HarmonyMessage, rendering: Rendering) -> list[int]:
        encode = self.tokenizer.encode_prompt
        header = header_ids(message, self.harmony, encode)
        is_free = rendering.allows_control_tokens
        content = encode(message.content) if is_free else plain_ids(message.content, encode)
        return [*header, *content, end_id(message, self.harmony)]

    def tokenizer_info(self) -> dict[str, Any]:
        """The special tokens that have a role; clients render prompts with openai-harmony."""
        special: Mapping[str, Any] = getattr(self.tokenizer.hf, "special_tokens_map", {})
        names = {role: token for role, token in special.items() if isinstance(token, str)}
        return {**names, "chat_template": None, "chat_format": "harmony"}

    def token_rules(
        self, offer: ToolOffer | None, *, may_reason: bool = True
    ) -> HeaderGuard | None:
        """Return the header guard; without it only where calls depend on it."""
        if not self._guards and (offer is None or not offer.is_required):
            return None
        headers = legal_headers(offer, may_reason=may_reason)
        special = self.tokenizer.special_token_ids
        return HeaderGuard(headers, self.harmony, self.tokenizer.encode_prompt, special)

    def remember(self, request: GenerationRequest, completed: Completed) -> None:
        """Keep the sampled tokens of a completion for later prompts."""

    def prepare(self) -> None:
        """Nothing has to be made before the first request."""


def _messages(
    messages: Sequence[Message], instructions: Instructions, rendering: Rendering
) -> Iterator[HarmonyMessage]:
    yield system_message(instructions)
    developer = developer_message(messages, instructions)
    if developer is not None:
        yield developer
    others = [message for message in messages if not is_instruction(message)]
    for turn in turn_messages(others, continues=rendering.continues_final_message):
        yield from turn
