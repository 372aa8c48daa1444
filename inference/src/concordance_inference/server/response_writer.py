"""The interface of an API's response: how updates of the engine become one body or a stream."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from concordance_inference.generation import Completed, Update
from concordance_inference.server.transport import sse
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


class ChunkWriter(ABC):
    """The streams of OpenAI's chat and completions APIs: chunks, and `[DONE]` at the end."""

    @abstractmethod
    def chunks(self, index: int, update: Update) -> Iterator[dict[str, Any]]:
        """The chunks that an update of a generation adds."""

    def begin(self) -> Sequence[bytes]:
        """Nothing: the first event needs the first update."""
        return ()

    def events(self, numbered: Numbered) -> list[bytes]:
        """The events of a stream that an update adds."""
        return [sse.event(chunk) for chunk in self.chunks(numbered.index, numbered.update)]

    def failed(self, error: dict[str, Any]) -> Sequence[bytes]:
        """The event of an error."""
        return (sse.event(error),)

    def end(self) -> Sequence[bytes]:
        """The event that ends a stream."""
        return (sse.DONE,)
