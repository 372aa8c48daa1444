"""How a conversation becomes a prompt."""

from collections.abc import Sequence
from typing import Protocol

from concordance_shared import InvalidRequestError, Message
from msgspec import Struct


class Rendering(Struct, frozen=True, kw_only=True):
    """How a conversation becomes a prompt."""

    adds_generation_prompt: bool = True  # end with the beginning of an assistant message
    continues_final_message: bool = False  # end within the last message, which the model continues
    allows_control_tokens: bool = False  # names of control tokens in messages become the tokens


#: For the next assistant message.
USUAL = Rendering()

#: Fields of requests; the first two are vLLM's.
FIELDS = ("add_generation_prompt", "continue_final_message", "allow_control_tokens")


class RenderingFields(Protocol):
    """A request with these fields."""

    @property
    def add_generation_prompt(self) -> bool | None:
        """End the prompt with the beginning of an assistant message; true unless set."""
        ...

    @property
    def continue_final_message(self) -> bool | None:
        """End the prompt within the last message."""
        ...

    @property
    def allow_control_tokens(self) -> bool | None:
        """Read names of control tokens in messages as the tokens."""
        ...


def rendering_of(given: RenderingFields) -> Rendering:
    """Return what the fields of a request say.

    Raises:
        InvalidRequestError: They contradict each other.
    """
    if given.continue_final_message and given.add_generation_prompt:
        raise InvalidRequestError(
            "continue_final_message continues the last message, and add_generation_prompt begins "
            "another one; set only one of them",
            param="add_generation_prompt",
        )
    return Rendering(
        adds_generation_prompt=given.add_generation_prompt is not False,
        continues_final_message=bool(given.continue_final_message),
        allows_control_tokens=bool(given.allow_control_tokens),
    )


def check_rendering(messages: Sequence[Message], rendering: Rendering) -> None:
    """Refuse to continue a last message that cannot be continued.

    Raises:
        InvalidRequestError: It has no text, or has calls of tools.
    """
    if not rendering.continues_final_message:
        return
    last = messages[-1]
    if last.tool_calls or not last.text:
        lack = "has tool calls" if last.tool_calls else "has no text"
        raise InvalidRequestError(
            f"continue_final_message: the last message {lack}, so there is nothing to continue; "
            "give it a content, or leave continue_final_message out",
            param="continue_final_message",
        )
