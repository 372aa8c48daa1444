"""Separates the reasoning of a completion from its content while it is generated."""

from collections.abc import Iterable, Iterator, Sequence

from concordance_inference.chat.message_parts import ContentText, MessagePart
from concordance_inference.chat.message_reader import MessageReader
from concordance_inference.chat.placed_reasoning import PlacedReasoning, ReasoningPlace
from concordance_inference.chat.text_split import TextPiece, TextSplit
from concordance_inference.generation import Completed, TextDelta
from concordance_inference.reasoning import Reasoning


class ReasoningReader:
    """Reads the reasoning of a message; another reader reads what follows it."""

    def __init__(
        self, inner: MessageReader, reasoning: Reasoning, place: ReasoningPlace = "apart"
    ) -> None:
        """Read a completion.

        Args:
            inner: Reads what follows the reasoning.
            reasoning: How the reasoning is marked.
            place: Where it is sent.
        """
        self._inner = inner
        self._split = TextSplit(reasoning)
        self._place = place
        self._reasoning = PlacedReasoning(place)

    def add(self, delta: TextDelta) -> Sequence[MessagePart]:
        """Return the parts that more text adds."""
        return list(self._parts(self._split.add(delta.text), delta))

    def end(self, completed: Completed) -> Sequence[MessagePart]:
        """Return the parts that were held back."""
        parts = list(self._parts(self._split.end()))
        return [*parts, *self._reasoning.end(), *self._inner.end(completed)]

    def _parts(
        self, pieces: Iterable[TextPiece], delta: TextDelta | None = None
    ) -> Iterator[MessagePart]:
        for piece in pieces:
            if piece.kind == "content":
                yield from self._reasoning.end()
                if delta is None or piece.text != delta.text:
                    delta = TextDelta(text=piece.text)
                yield from self._inner.add(delta)
            elif self._place == "content":
                yield ContentText(piece.text)
            elif piece.kind == "reasoning":
                yield from self._reasoning.add(piece.text)
