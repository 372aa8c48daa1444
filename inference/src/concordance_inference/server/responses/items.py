"""The items of a conversation: messages, reasoning, calls of functions, and their outputs.

Decoded from requests, made from completions, stored, and sent: always in the same form, so that a
stored conversation and one that a client sends back are equal.
"""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from concordance_inference.server.responses.encrypted_content import decoded_reasoning

Status = Literal["in_progress", "completed", "incomplete"]
Role = Literal["system", "developer", "user", "assistant"]


class InputText(Struct, frozen=True, tag_field="type", tag="input_text"):
    """Text of a message that the client wrote."""

    text: str


class OutputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text of a message that the model wrote."""

    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[Any, ...] = ()


class ReasoningText(Struct, frozen=True, tag_field="type", tag="reasoning_text"):
    """Text of the reasoning."""

    text: str


class SummaryText(Struct, frozen=True, tag_field="type", tag="summary_text"):
    """Text of a summary of the reasoning."""

    text: str


class MessageItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """A message."""

    id: str
    role: Role
    status: Status = "completed"
    content: tuple[InputText | OutputText, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of its parts."""
        return tuple(part.text for part in self.content)


class ReasoningItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    """The reasoning before a message or a call."""

    id: str
    status: Status = "completed"
    summary: tuple[SummaryText, ...] = ()
    content: tuple[ReasoningText, ...] = ()
    encrypted_content: str | UnsetType = UNSET

    @property
    def text(self) -> str:
        """The reasoning; of an item without its text, that of the encrypted text or summary."""
        if self.content:
            return "".join(part.text for part in self.content)
        if self.encrypted_content is not UNSET:
            return decoded_reasoning(self.encrypted_content)
        return "".join(part.text for part in self.summary)


class FunctionCallItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """A call of a function of the client."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: Status = "completed"


class FunctionOutputItem(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call_output"
):
    """What a call of a function returned."""

    id: str
    call_id: str
    output: str | tuple[InputText, ...]
    status: Status = "completed"

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of its parts."""
        if isinstance(self.output, str):
            return (self.output,)
        return tuple(part.text for part in self.output)


Item = MessageItem | ReasoningItem | FunctionCallItem | FunctionOutputItem
