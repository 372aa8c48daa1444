"""A model's own chat template: messages and tools in, the prompt's token ids out."""

from collections.abc import Sequence
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError, Message, Tool
from jinja2 import TemplateError

from concordance_inference.models.tokenizer import ModelTokenizer


class ChatTemplate:
    """Renders conversations by the template that came with the model."""

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        """Use the tokenizer's template."""
        self._tokenizer = tokenizer
        source: Any = tokenizer.hf.chat_template
        self.knows_tools = isinstance(source, str) and "tools" in source

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """The prompt that asks for the next message of the assistant.

        Tools are rendered where the template knows of them.

        Raises:
            InvalidRequestError: The model has no template, or its template refuses the messages.
        """
        hf = self._tokenizer.hf
        if hf.chat_template is None and not getattr(hf, "has_chat_template", False):
            raise InvalidRequestError(
                "this model has no chat template, so it cannot be asked by messages",
                param="messages",
            )
        try:
            text = hf.apply_chat_template(
                [_plain(message) for message in messages],
                tools=[msgspec.to_builtins(tool) for tool in tools] or None,
                add_generation_prompt=True,
                tokenize=False,
            )
        except (TemplateError, TypeError, ValueError, KeyError) as exc:
            raise InvalidRequestError(
                f"the model's chat template refuses these messages: {exc}", param="messages"
            ) from exc
        return self._tokenizer.encode(text)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; the name of a special one."""
        try:
            return self._tokenizer.token_bytes(token_id)
        except ValueError:  # a vocabulary that is not made of bytes
            return self._tokenizer.decode([token_id]).encode()


def _plain(message: Message) -> dict[str, Any]:
    """A message as templates expect it: plain dictionaries, the content one string."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    fields["content"] = message.text
    if message.role == "developer":
        fields["role"] = "system"
    for call in fields.get("tool_calls", ()):
        call["function"]["arguments"] = _arguments(call["function"]["arguments"])
    return fields


def _arguments(text: str) -> Any:
    """A tool call's arguments as the object that most templates render, or as they were."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
