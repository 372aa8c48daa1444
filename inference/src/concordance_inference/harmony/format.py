"""The chat format of gpt-oss."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from concordance_sdk.hosted_tool import HostedTool
from concordance_shared import Message, ResponseFormat, Tool

from concordance_inference.caller import current_prefix_space
from concordance_inference.chat.message_reader import read_message
from concordance_inference.chat.readers import reader_factory
from concordance_inference.chat.rendering import USUAL, Rendering, check_rendering
from concordance_inference.chat.token_texts import TokenTexts
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.harmony.header_guard import HeaderGuard
from concordance_inference.harmony.headers import LegalHeaders
from concordance_inference.harmony.hosted_section import HostedSections
from concordance_inference.harmony.message import HarmonyMessage, end_id, header_ids, plain_ids
from concordance_inference.harmony.message_ids import MessageIds, MessageKey
from concordance_inference.harmony.messages import (
    OPTIONS,
    Instructions,
    converted,
    developer_message,
    instruction_text,
    last_final,
    num_instructions,
    system_message,
    tool_names,
)
from concordance_inference.harmony.offered_headers import legal_headers
from concordance_inference.harmony.place import START
from concordance_inference.harmony.prompt_ids import PromptIds
from concordance_inference.harmony.sampled_messages import sampled_messages
from concordance_inference.harmony.sampled_turns import Position, SampledTurn, SampledTurns
from concordance_inference.harmony.tool_section import ToolSections
from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_inference.hosted_tools import HostedTools, recipients_of
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
        hosted_tools: The tools that the server can run.
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
        hosted_tools: HostedTools | None = None,
    ) -> None:
        """Use the vocabulary of gpt-oss.

        Args:
            tokenizer: The model's tokenizer.
            tokens: Its structural tokens.
            context_length: Limit of a prompt, in tokens; `None` for no limit.
            header_guard: Let completions have only legal headers.
            hosted_tools: The tools that the server can run.
        """
        super().__init__(tokenizer, context_length)
        self._guards = header_guard
        self.harmony = tokens
        self.hosted_tools = HostedTools() if hosted_tools is None else hosted_tools
        self._tools = ToolSections(tokenizer)
        self._hosted_sections = HostedSections(tokenizer)
        self._ids = MessageIds(self._made)
        self._sampled = SampledTurns()

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        options: Mapping[str, Any] | None = None,
        rendering: Rendering = USUAL,
        response_format: ResponseFormat | None = None,
        hosted: Sequence[HostedTool] = (),
    ) -> list[int]:
        """Render the prompt for the next assistant message.

        Raises:
            InvalidRequestError: An option has a wrong value, or a result belongs to no call.
            ContextLengthError: The messages are longer than the context.
        """
        check_rendering(messages, rendering)
        prompt = PromptIds(self._ids, self.limit, rendering)
        instructions = Instructions(
            options=options or {},
            tools=self._tools.of(tools),
            hosted=self._hosted_sections.of(hosted),
            response_format=response_format,
        )
        text = instruction_text(messages)
        prompt.add(system_message(instructions))
        if developer := developer_message(text, instructions):
            prompt.add(developer)
        self._add_turns(prompt, messages, Position(text, space=current_prefix_space()), rendering)
        if rendering.continues_final_message:
            return prompt.ids[:-1]
        return prompt.ids + (self._begin if rendering.adds_generation_prompt else [])

    def _add_turns(
        self,
        prompt: PromptIds,
        messages: Sequence[Message],
        position: Position,
        rendering: Rendering,
    ) -> None:
        """Add the messages after the instructions, as sampled where that is known."""
        names = tool_names(messages)
        last = last_final(messages, continues=rendering.continues_final_message)
        for i in range(num_instructions(messages), len(messages)):
            message = messages[i]
            turn = None
            if message.role == "assistant":
                turn = self._sampled.recall(position.before(message))
            if turn is None:
                for part in converted(message, names.get(i, ""), has_reasoning=i > last):
                    prompt.add(part)
            else:
                prompt.add_turn(turn, message.reasoning_content if i > last else None)
            position.add(message)

    @functools.cached_property
    def _begin(self) -> list[int]:
        """The beginning of a message of the assistant."""
        return [self.harmony.start, *self.tokenizer.encode_prompt("assistant")]

    def _made(self, key: MessageKey) -> list[int]:
        """The token ids of a message."""
        message, encode = key.message, self.tokenizer.encode_prompt
        ids = header_ids(message, self.harmony, encode)
        for text in (message.content, message.second_part):
            ids += encode(text) if key.allows_control_tokens else plain_ids(text, encode)
        return [*ids, end_id(message, self.harmony)]

    def remember(self, request: GenerationRequest, completed: Completed) -> None:
        """Keep the sampled tokens of a completion, unless it is not what the client receives."""
        turn = request.harmony
        is_cut = isinstance(completed.stopped_by, str)
        if turn is None or turn.opened != START or is_cut or completed.tool_calls:
            return
        messages = sampled_messages(completed.token_ids, turn, self._begin, self._text_bytes)
        if not messages or all(message.is_reasoning for message in messages):
            return
        read = read_message(reader_factory(request)(), completed)
        before = request.conversation.messages
        position = Position(instruction_text(before), space=request.prefix_space)
        for message in before[num_instructions(before) :]:
            position.add(message)
        answer = Message(role="assistant", content=read.content, tool_calls=read.tool_calls)
        sampled = SampledTurn(reasoning=read.reasoning, messages=messages)
        self._sampled.remember(position.before(answer), sampled)

    def _text_bytes(self, token_id: int) -> bytes | None:
        """The bytes of a token of text; `None` for a special token."""
        if token_id in self.tokenizer.special_token_ids:
            return None
        return self.token_bytes(token_id)

    def tokenizer_info(self) -> dict[str, Any]:
        """The special tokens that have a role; clients render prompts with openai-harmony."""
        special: Mapping[str, Any] = getattr(self.tokenizer.hf, "special_tokens_map", {})
        names = {role: token for role, token in special.items() if isinstance(token, str)}
        return {**names, "chat_template": None, "chat_format": "harmony"}

    def token_rules(
        self,
        offer: ToolOffer | None,
        *,
        may_reason: bool = True,
        has_format: bool = False,
        hosted: Sequence[HostedTool] = (),
    ) -> HeaderGuard | None:
        """Return the header guard; if it is off, only where calls or a format depend on it."""
        is_needed = has_format or (offer is not None and offer.is_required)
        if not self._guards and not is_needed:
            return None
        return self._guard(
            legal_headers(offer, may_reason=may_reason, has_format=has_format, hosted=hosted)
        )

    def _guard(self, headers: LegalHeaders) -> HeaderGuard:
        special = self.tokenizer.special_token_ids
        return HeaderGuard(headers, self.harmony, self.tokenizer.encode_prompt, special)

    def result_ids(self, recipient: str, text: str) -> list[int]:
        """The tokens of a hosted tool's result, and of the beginning of the next message."""
        message = HarmonyMessage(
            author=recipient, recipient="assistant", channel="analysis", content=text
        )
        return [*self._made(MessageKey(message=message, allows_control_tokens=False)), *self._begin]

    def rules_without_hosted(self, request: GenerationRequest) -> HeaderGuard | None:
        """The rules of a request whose model may call no hosted tool any more."""
        rules = request.token_rules
        if not isinstance(rules, HeaderGuard):
            return None
        names = {name for tool in request.hosted for name in recipients_of(tool)}
        left = tuple(each for each in rules.headers.recipients if each.name not in names)
        return self._guard(msgspec.structs.replace(rules.headers, recipients=left))

    def prepare(self) -> None:
        """Load what describes tools."""
        self._tools.prepare()
