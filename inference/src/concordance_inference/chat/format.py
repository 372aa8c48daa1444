"""What the server needs of a chat format."""

from collections.abc import Sequence
from typing import Protocol

from concordance_shared import Message, Tool


class ChatFormat(Protocol):
    """Turns a conversation into the prompt that a model was trained on."""

    @property
    def knows_tools(self) -> bool:
        """Whether tools have a place in the prompt."""
        ...

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """The prompt that asks for the next message of the assistant.

        Raises:
            InvalidRequestError: The format refuses these messages.
        """
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; the name of a special one."""
        ...
