"""What the server needs of a chat format."""

from collections.abc import Sequence
from typing import Protocol

from concordance_shared import Message, Tool

from concordance_inference.generation import Completed


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

    def remember(self, prompt_ids: Sequence[int], completed: Completed) -> None:
        """Keep an answer as it was sampled, for prompts that come back with it."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; the name of a special one."""
        ...
