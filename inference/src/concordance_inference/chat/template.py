"""A model's own chat template: renders messages and tools to the prompt's token ids."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
from concordance_sdk.hosted_tool import HostedTool
from concordance_shared import InvalidRequestError, Message, ResponseFormat, Tool

from concordance_inference.chat.control_tokens import Spans
from concordance_inference.chat.given import Given
from concordance_inference.chat.prompt_texts import PromptTexts
from concordance_inference.chat.rendering import USUAL, Rendering, check_rendering
from concordance_inference.chat.sampled_calls import SampledCalls
from concordance_inference.chat.sampled_messages import PromptDigest, SampledMessages
from concordance_inference.chat.splice import Splice
from concordance_inference.chat.template_messages import Messages, forms_of, prints_objects
from concordance_inference.chat.template_reasoning import reasoning_names, with_reasoning
from concordance_inference.chat.token_texts import TokenTexts
from concordance_inference.chat.variables import variables_of
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.models.renamed_tokenizer import secret_text
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.reasoning import marker_ids, tags_of
from concordance_inference.time_limit import TimeLimitError, run_within
from concordance_inference.tools.detection import special_tokens, tool_format_of
from concordance_inference.tools.generic import generic_forms
from concordance_inference.tools.offer import ToolOffer
from concordance_inference.tools.tool_format import ToolFormat

#: Replaces the content of message i to find where the template puts it. Private-use characters.
_MARK = "\ue000{}\ue001"

#: Time limit of rendering, in seconds. It takes milliseconds unless the template is broken.
RENDER_S = 5.0


class ChatTemplate(TokenTexts):
    """Renders conversations with the template of the model.

    A completion that becomes a message of the next prompt keeps its sampled tokens there, so that
    the prompt extends the cached one. Thread-safe.

    Attributes:
        reasoning_tags: The tags that the model may write around its reasoning.
        texts: Tokenizes what the template renders.
        marker_ids: The special tokens that mark parts of a message; they are kept in its text.
    """

    harmony = None
    hosted_tools = None

    def __init__(self, tokenizer: ModelTokenizer, *, context_length: int | None = None) -> None:
        """Use the template of a tokenizer.

        Args:
            tokenizer: The tokenizer.
            context_length: Limit of a prompt, in tokens; `None` for no limit.
        """
        super().__init__(tokenizer, context_length)
        self._sampled = SampledMessages()
        self._calls = SampledCalls()
        self._sources = _sources(tokenizer.hf.chat_template)
        self.texts = PromptTexts(tokenizer, self._sources, self._applied, RENDER_S)
        self._reasoning_names = reasoning_names("\n".join(self._sources.values()))
        self.reasoning_tags = tags_of(tokenizer, "\n".join(self._sources.values()))
        self.marker_ids = marker_ids(tokenizer, self.reasoning_tags)

    @property
    def options(self) -> frozenset[str]:
        """The template's variables that a request can set, such as `enable_thinking`."""
        return self._variables

    @cached_property
    def _variables(self) -> frozenset[str]:
        special: Any = getattr(self.tokenizer.hf, "special_tokens_map", ())
        return variables_of(self._sources.get("default", "")) - {*special}

    @property
    def _source(self) -> str:
        """The template that renders tools."""
        return self._sources.get("tool_use") or self._sources.get("default", "")

    @property
    def can_reason(self) -> bool:
        """True if it has tags for its reasoning."""
        return bool(self.reasoning_tags)

    @property
    def tool_format(self) -> ToolFormat:
        """The format of tool calls."""
        return self._tool_format

    @cached_property
    def _tool_format(self) -> ToolFormat:
        config: Any = getattr(self.tokenizer.hf, "init_kwargs", {})
        special = special_tokens(self.tokenizer)
        return tool_format_of(self._source, special, config.get("tool_parser_type"))

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        options: Mapping[str, Any] | None = None,
        rendering: Rendering = USUAL,
        response_format: ResponseFormat | None = None,  # noqa: ARG002  # templates have no place
        hosted: Sequence[HostedTool] = (),  # noqa: ARG002
    ) -> list[int]:
        """Render the prompt for the next assistant message.

        Tools are rendered if the template supports them. It gets tool calls in the first of the
        forms of `template_messages` that it takes.

        Raises:
            InvalidRequestError: The model has no template, or its template refuses the messages,
                renders them to nothing, fails, or exceeds its time limit.
            ContextLengthError: The messages are much longer than the context.
        """
        self.limit.check(sum(len(message.text) for message in messages))
        check_rendering(messages, rendering)
        plain = [
            {"type": tool.type, "function": msgspec.to_builtins(tool.function)} for tool in tools
        ]
        is_generic = self._is_generic(messages, has_tools=bool(tools))
        variables = {
            "tools": None if is_generic else plain or None,
            "add_generation_prompt": rendering.adds_generation_prompt
            and not rendering.continues_final_message,
            **(options or {}),
        }
        mark = secret_text(8) if rendering.continues_final_message else ""
        given = Given(variables=variables, end_mark=mark)
        forms = generic_forms(messages, plain) if is_generic else forms_of(messages)
        forms = with_reasoning(forms, self._reasoning_names)
        given, text = self._first_rendered(given, forms)
        self.limit.check_tokens(text)
        control = (
            None if rendering.allows_control_tokens else self.texts.control_tokens(given, text)
        )
        replies = [i for i, message in enumerate(given.messages) if _is_reply(message)]
        pieces = self._pieces(given, replies, text) if replies else None
        if pieces is None:
            pieces, replies = [text], []
        if not replies and not any(message.get("tool_calls") for message in given.messages):
            return self.texts.encode(text, control)
        return self._joined(pieces, [given.messages[i]["content"] for i in replies], control)

    def _is_generic(self, messages: Sequence[Message], *, has_tools: bool) -> bool:
        """True if tools and calls are rendered as text, since the template would drop them."""
        if has_tools or not self.tool_format.is_generic:
            return has_tools and self.tool_format.is_generic
        has_calls = any(message.tool_calls for message in messages)
        return has_calls and "tool_calls" not in self._source

    def _first_rendered(self, given: Given, forms: Iterable[Messages]) -> tuple[Given, str]:
        """The first form of the messages that the template takes, and the rendered text.

        A template that prints the object of a tool call's arguments would take their text as well.
        """
        printed: tuple[Given, str] | None = None
        error: InvalidRequestError | None = None
        for messages in forms:
            form = replace(given, messages=messages)
            try:
                text = self._rendered(form)
            except InvalidRequestError as exc:
                error = error or exc
                continue
            if not prints_objects(text, messages):
                return form, text
            printed = printed or (form, text)
        if printed is None:
            assert error is not None, "there is a form"
            raise error
        return printed

    def _rendered(self, given: Given) -> str:
        text = self._applied(given)
        if not text:
            raise InvalidRequestError(
                "the model's chat template renders these messages to nothing", param="messages"
            )
        return text

    def tokenizer_info(self) -> dict[str, Any]:
        """The special tokens that have a role, such as `eos_token`, and the chat template."""
        special: Mapping[str, Any] = getattr(self.tokenizer.hf, "special_tokens_map", {})
        names = {role: token for role, token in special.items() if isinstance(token, str)}
        return {**names, "chat_template": self._sources.get("default")}

    def token_rules(
        self,
        offer: ToolOffer | None,
        *,
        may_reason: bool = True,
        has_format: bool = False,
        hosted: Sequence[HostedTool] = (),
    ) -> None:
        """None: grammars find the calls of these formats by their text."""

    def remember(self, request: GenerationRequest, completed: Completed) -> None:
        """Keep the sampled tokens of a completion, unless its text was cut at a stop string."""
        offer = request.offer
        has_calls = offer is not None and offer.format.layout.marker in completed.text
        space = request.prefix_space
        self.keep(request.prompt_ids, completed, has_calls=has_calls, space=space)

    def keep(
        self,
        prompt_ids: Sequence[int],
        completed: Completed,
        *,
        has_calls: bool = False,
        space: str = "",
    ) -> None:
        """Keep the sampled tokens of the completion of a prompt.

        Args:
            prompt_ids: The prompt.
            completed: The completion.
            has_calls: It calls tools, which the template writes in a place of their own.
            space: Only requests of this space find them.
        """
        ends = self.tokenizer.eos_token_ids
        token_ids = completed.token_ids
        token_ids = token_ids[:-1] if token_ids and token_ids[-1] in ends else token_ids
        if completed.text and self.tokenizer.decode(token_ids) == completed.text:
            prompt = PromptDigest(prompt_ids, space=space)
            self._sampled.remember(prompt, completed.text, token_ids)
            if has_calls:
                self._calls.remember(prompt_ids, token_ids, space=space)

    def prepare(self) -> None:
        """Copy the tokenizer, which names of control tokens in messages need."""
        self.texts.prepare()

    def _applied(self, given: Given) -> str:
        hf = self.tokenizer.hf
        if hf.chat_template is None and not getattr(hf, "has_chat_template", False):
            raise InvalidRequestError(
                "this model has no chat template to render messages with; give a prompt as text",
                param="messages",
            )
        try:
            text = run_within(
                RENDER_S,
                lambda: hf.apply_chat_template(
                    given.rendered_messages, tokenize=False, **given.variables
                ),
            )
        except TimeLimitError as exc:
            raise InvalidRequestError(
                f"the model's chat template exceeds its time limit: {exc}", param="messages"
            ) from exc
        except Exception as exc:  # a template is a program: it may raise anything
            raise InvalidRequestError(
                f"the model's chat template refuses these messages: {_described(exc)}",
                param="messages",
            ) from exc
        return given.cut(text)

    def _pieces(self, given: Given, replies: Sequence[int], text: str) -> list[str] | None:
        """The text that the template writes around assistant messages.

        Found by rendering marks in their places:

            rendered    "[user]hi[assistant]Hello![user]bye[assistant]"
            marked      "[user]hi[assistant]<1>[user]bye[assistant]"
            pieces      "[user]hi[assistant]", "[user]bye[assistant]"

        Returns:
            One piece more than messages; `None` if the template strips, cuts or drops a message.
        """
        marked = [
            {**message, "content": _MARK.format(i)} if i in replies else message
            for i, message in enumerate(given.messages)
        ]
        try:
            rest = self._applied(replace(given, messages=marked))
        except InvalidRequestError:
            return None  # it depends on the text of these messages
        pieces = _split(rest, [_MARK.format(i) for i in replies])
        if pieces is None:
            return None
        contents = [given.messages[i]["content"] for i in replies]
        whole = "".join(a + b for a, b in zip(pieces, [*contents, ""], strict=True))
        return pieces if whole == text else None

    def _joined(
        self, pieces: Sequence[str], replies: Sequence[str], control: Spans | None
    ) -> list[int]:
        """The token ids of pieces with assistant messages between them, as sampled if kept."""
        texts = [text for pair in zip(pieces, [*replies, ""], strict=True) for text in pair]
        text = "".join(texts)
        encoded = self.texts.encode_with_begins(text, control)
        if encoded is None:
            return self.texts.encode(text, control)
        splice = Splice(*encoded, self.tokenizer.bytes_of, self._calls)
        begin = 0
        for piece, reply in zip(pieces, replies, strict=False):
            begin += len(piece)
            splice.add(self._sampled, reply, begin)
            begin += len(reply)
        return splice.end()


def _split(text: str, marks: Sequence[str]) -> list[str] | None:
    """The pieces of a text around marks; `None` if a mark is missing or out of order."""
    pieces: list[str] = []
    begin = 0
    for mark in marks:
        end = text.find(mark, begin)
        if end < 0:
            return None
        pieces.append(text[begin:end])
        begin = end + len(mark)
    return [*pieces, text[begin:]]


def _described(exc: Exception) -> str:
    """The error's type and message; only the message if the template raised it on purpose."""
    is_refusal = type(exc).__name__ in ("TemplateError", "TemplateRuntimeError")
    return str(exc)[:500] if is_refusal else f"{type(exc).__name__}: {str(exc)[:500]}"


def _sources(template: Any) -> dict[str, str]:
    """The templates of a tokenizer by name; its only one is `default`."""
    if isinstance(template, str):
        return {"default": template}
    return dict(template) if isinstance(template, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]


def _is_reply(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and bool(message["content"])
