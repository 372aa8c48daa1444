"""A model's own chat template: renders messages and tools to the prompt's token ids."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from concordance_shared import ContextLengthError, InvalidRequestError, Message, Tool
from concordance_shared.prompt_length import prompt_too_long

from concordance_inference.chat.sampled_messages import PromptDigest, SampledMessages, Splice
from concordance_inference.chat.variables import variables_of
from concordance_inference.generation import Completed
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.time_limit import TimeLimitError, run_within

#: Replaces the content of message i to find where the template puts it. Private-use characters.
_MARK = "\ue000{}\ue001"

#: Time limit of rendering, in seconds. It takes milliseconds unless the template is broken.
RENDER_S = 5.0

#: A text with fewer characters than this per token of the context is tokenized as one text.
_FEW_CHARS_PER_TOKEN = 8

#: A longer text is first tokenized in pieces of this many characters, until it is too long.
_PIECE = 32 * 1024

#: Pieces are cut within words, so they may have more tokens than the whole text: allow for that.
_MARGIN = 1.25


class ChatTemplate:
    """Renders conversations with the template of the model.

    A completion that becomes a message of the next prompt keeps its sampled tokens there, so that
    the prompt extends the cached one. Thread-safe.
    """

    def __init__(self, tokenizer: ModelTokenizer, *, context_length: int | None = None) -> None:
        """Use the template of a tokenizer.

        Args:
            tokenizer: The tokenizer.
            context_length: Limit of a prompt, in tokens; `None` for no limit.
        """
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._sampled = SampledMessages()
        source: Any = tokenizer.hf.chat_template
        self._source = source if isinstance(source, str) else None

    @property
    def options(self) -> frozenset[str]:
        """The template's variables that a request can set, such as `enable_thinking`."""
        return self._variables

    @cached_property
    def _variables(self) -> frozenset[str]:
        special: Any = getattr(self._tokenizer.hf, "special_tokens_map", ())
        return variables_of(self._source or "") - {*special}

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        options: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Render the prompt for the next assistant message.

        Tools are rendered if the template supports them. It gets the arguments of tool calls as
        objects; if it fails on them, as text.

        Raises:
            InvalidRequestError: The model has no template, or its template refuses the messages,
                renders them to nothing, fails, or exceeds its time limit.
            ContextLengthError: The messages are much longer than the context.
        """
        self._check_length(sum(len(message.text) for message in messages))
        given = {"tools": [msgspec.to_builtins(tool) for tool in tools] or None, **(options or {})}
        try:
            return self._rendered([_plain(message) for message in messages], given)
        except InvalidRequestError:
            if not any(message.tool_calls for message in messages):
                raise
        return self._rendered([_plain(message, is_text=True) for message in messages], given)

    def _rendered(self, messages: list[dict[str, Any]], given: Mapping[str, Any]) -> list[int]:
        text = self._applied(messages, given)
        if not text:
            raise InvalidRequestError(
                "the model's chat template renders these messages to nothing", param="messages"
            )
        self._check_tokens(text)
        replies = [i for i, message in enumerate(messages) if _is_reply(message)]
        pieces = self._pieces(messages, given, replies, text) if replies else None
        if pieces is None:
            return self._tokenizer.encode_prompt(text)
        return self._joined(pieces, [messages[i]["content"] for i in replies])

    def encode(self, text: str) -> list[int]:
        """The token ids of a text that is continued as it is, without the template."""
        return self.tokenize(text)

    def tokenize(self, text: str, *, adds_special: bool = True) -> list[int]:
        """The token ids of a text of any length, with BOS if the tokenizer prepends it."""
        return self._tokenizer.encode_prompt(text, adds_bos=adds_special)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, with the names of special tokens."""
        return self._tokenizer.decode(token_ids)

    def token_names(self, token_ids: Sequence[int]) -> list[str]:
        """The names of tokens in the vocabulary, such as `Ġthe`; empty for an unused id."""
        names: list[str | None] = self._tokenizer.hf.convert_ids_to_tokens(list(token_ids))
        return [name or "" for name in names]

    def remember(self, prompt_ids: Sequence[int], completed: Completed) -> None:
        """Keep the sampled tokens of a completion, unless its text was cut at a stop string."""
        ends = self._tokenizer.eos_token_ids
        token_ids = completed.token_ids
        token_ids = token_ids[:-1] if token_ids and token_ids[-1] in ends else token_ids
        if completed.text and self._tokenizer.decode(token_ids) == completed.text:
            self._sampled.remember(PromptDigest(prompt_ids), completed.text, token_ids)

    def token_bytes(self, token_id: int, *, at_start: bool = False) -> bytes:
        """Return the bytes that a token adds to a text; the name of a special token."""
        try:
            if at_start:
                return self._tokenizer.start_bytes(token_id)
            return self._tokenizer.token_bytes(token_id)
        except ValueError:  # the vocabulary is not made of bytes
            return self._tokenizer.decode([token_id]).encode()

    @cached_property
    def _longest_token(self) -> int:
        """The length of the vocabulary's longest token, in characters."""
        return max(map(len, self._tokenizer.hf.get_vocab()), default=1)

    def _check_length(self, num_chars: int) -> None:
        """Refuse a text that is too long even if all of its tokens are the longest one."""
        if self._context_length is None:
            return
        if num_chars > _FEW_CHARS_PER_TOKEN * self._context_length and (
            num_chars > self._longest_token * self._context_length
        ):
            raise _too_long(f"{num_chars} characters", self._context_length)

    def _check_tokens(self, text: str) -> None:
        """Refuse a text with far too many tokens, without tokenizing all of it."""
        self._check_length(len(text))
        most = self._context_length
        if most is None or len(text) <= _FEW_CHARS_PER_TOKEN * most:
            return
        num_tokens = 0
        for begin in range(0, len(text), _PIECE):
            num_tokens += len(self._tokenizer.encode_prompt(text[begin : begin + _PIECE]))
            if num_tokens > _MARGIN * most:
                raise _too_long(f"more than {most} tokens", most)

    def _applied(self, messages: list[dict[str, Any]], given: Mapping[str, Any]) -> str:
        hf = self._tokenizer.hf
        if hf.chat_template is None and not getattr(hf, "has_chat_template", False):
            raise InvalidRequestError(
                "this model has no chat template to render messages with; give a prompt as text",
                param="messages",
            )
        try:
            return run_within(RENDER_S, lambda: self._apply(messages, given))
        except TimeLimitError as exc:
            raise InvalidRequestError(
                f"the model's chat template exceeds its time limit: {exc}", param="messages"
            ) from exc
        except Exception as exc:  # a template is a program: it may raise anything
            raise InvalidRequestError(
                f"the model's chat template refuses these messages: {_described(exc)}",
                param="messages",
            ) from exc

    def _apply(self, messages: list[dict[str, Any]], given: Mapping[str, Any]) -> str:
        hf = self._tokenizer.hf
        return hf.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **given)

    def _pieces(
        self,
        messages: list[dict[str, Any]],
        given: Mapping[str, Any],
        replies: Sequence[int],
        text: str,
    ) -> list[str] | None:
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
            for i, message in enumerate(messages)
        ]
        try:
            rest = self._applied(marked, given)
        except InvalidRequestError:
            return None  # it depends on the text of these messages
        pieces = _split(rest, [_MARK.format(i) for i in replies])
        if pieces is None:
            return None
        contents = [messages[i]["content"] for i in replies]
        whole = "".join(a + b for a, b in zip(pieces, [*contents, ""], strict=True))
        return pieces if whole == text else None

    def _joined(self, pieces: Sequence[str], replies: Sequence[str]) -> list[int]:
        """The token ids of pieces with assistant messages between them, as sampled if kept."""
        texts = [text for pair in zip(pieces, [*replies, ""], strict=True) for text in pair]
        text = "".join(texts)
        encoded = self._tokenizer.encode_with_begins(text)
        if encoded is None:
            return self._tokenizer.encode_prompt(text)
        splice = Splice(*encoded, self._tokenizer.bytes_of)
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


def _is_reply(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and bool(message["content"])


def _plain(message: Message, *, is_text: bool = False) -> dict[str, Any]:
    """A message as templates expect it: plain dictionaries, the content one string.

    Args:
        message: The message.
        is_text: Keep the arguments of tool calls as text.
    """
    fields: dict[str, Any] = msgspec.to_builtins(message)
    fields["content"] = message.text
    if message.role == "developer":
        fields["role"] = "system"
    for call in fields.get("tool_calls") or ():
        text = call["function"]["arguments"]
        call["function"]["arguments"] = (text or "{}") if is_text else _arguments(text)
    return fields


def _arguments(text: str) -> Any:
    """A tool call's arguments as the object that most templates expect; text if invalid."""
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _too_long(size: str, context_length: int) -> ContextLengthError:
    return prompt_too_long(size, context_length, param="messages", remedy="shorten them")
