"""What the server needs of a chat format."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from concordance_shared import Message, Tool


class ChatFormat(Protocol):
    """Turns a conversation into the prompt that a model was trained on.

    Every method may be called from any thread.
    """

    @property
    def knows_tools(self) -> bool:
        """Whether tools have a place in the prompt."""
        ...

    @property
    def options(self) -> frozenset[str]:
        """The names of what can be chosen about the prompt, as `enable_thinking`."""
        ...

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        options: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """The prompt that asks for the next message of the assistant.

        Args:
            messages: The conversation.
            tools: The tools that the model may call.
            options: What is chosen about the prompt, by the names of `options`.

        Raises:
            InvalidRequestError: The format refuses these messages.
            ContextLengthError: They are too long, found out before all of them are tokenized.
        """
        ...

    def encode(self, text: str) -> list[int]:
        """The token ids of a text that is continued as it is, without a chat template."""
        ...

    def token_bytes(self, token_id: int, *, at_start: bool = False) -> bytes:
        """The bytes that a token adds to a text; the name of a special one.

        Args:
            token_id: The token.
            at_start: It is the first one of the text; some tokenizers leave out a space there.
        """
        ...
