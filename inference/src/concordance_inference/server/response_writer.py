"""The interface of an API's response: how updates of the engine become one body or a stream."""

from collections.abc import Sequence
from typing import Any, Protocol

from concordance_inference.generation import Completed
from concordance_inference.server.updates import Numbered


class ResponseWriter(Protocol):
    """Writes the response to one request, whose generations are numbered from 0."""

    def whole(self, ends: Sequence[Completed]) -> Any:
        """The body of a response that is not streamed, before it is encoded as JSON."""
        ...

    def begin(self) -> Sequence[bytes]:
        """The events of a stream that need no update, in case the first one takes long."""
        ...

    def events(self, numbered: Numbered) -> Sequence[bytes]:
        """The events of a stream that an update adds. Never called with `Failed`."""
        ...

    def failed(self, error: dict[str, Any]) -> Sequence[bytes]:
        """The events of a stream that fails after it began.

        Args:
            error: The body of the error, in OpenAI's shape.
        """
        ...

    def end(self) -> Sequence[bytes]:
        """The last events of each stream, also of one that failed."""
        ...
