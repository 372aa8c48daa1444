"""Finds where a completion opens the calls of tools, while it grows and shrinks."""

from concordance_sdk.text import CompletionText, Cut
from msgspec import Struct, structs

from concordance_inference.chat.text_split import TextPiece, TextSplit
from concordance_inference.reasoning import Reasoning
from concordance_inference.tools.layout import Layout
from concordance_inference.tools.marker import find_marker, num_open

#: Earlier states of a scan that are kept, for texts that are cut.
_MAX_SCANS = 64


class Opening:
    """Watches the content of a completion, which follows its reasoning, for the marker of calls.

    The text is split as the readers split it, so the marker is found where they begin a call.
    """

    def __init__(self, text: CompletionText, layout: Layout, reasoning: Reasoning | None) -> None:
        """Watch a completion.

        Args:
            text: The completion, which the caller follows.
            layout: The format of calls.
            reasoning: How the reasoning is marked; `None` if there is none.
        """
        self._text = text
        self._scans = [_Scan(layout, reasoning and TextSplit(reasoning))]
        self._end: int | None = None  # of the marker
        text.on_cut(self._cut)

    @property
    def is_found(self) -> bool:
        """True if the completion has a marker."""
        return self._end is not None

    def find(self) -> Cut | None:
        """Return the end of the marker once it is in the text; `None` before and afterwards."""
        if self._end is not None:
            return None
        scan = self._scans[-1].copy()
        self._end = scan.add(self._text.tail(scan.num_read))
        if self._end is not None:
            return self._text.cut(self._end)
        self._keep(scan)
        return None

    def _keep(self, scan: "_Scan") -> None:
        """Keep a state to return to; of earlier ones, the fewer the longer they are past."""
        self._scans.append(scan)
        if len(self._scans) > _MAX_SCANS:
            del self._scans[1 : _MAX_SCANS // 2 : 2]

    def _cut(self, num_chars: int) -> None:
        """Forget what is no longer in the text."""
        if self._end is not None and num_chars < self._end:
            self._end = None
        while self._scans[-1].num_read > num_chars:
            self._scans.pop()


class _Scan(Struct, eq=False):
    """A search for the marker in a text that grows.

    Attributes:
        layout: The format of calls.
        split: Finds the content of the text; `None` if all of it is content.
        num_read: Characters of the text so far.
        num_split: Characters of the pieces so far.
        held: Content that may be the beginning of a marker.
        has_content: There is content before that, other than space.
    """

    layout: Layout
    split: TextSplit | None
    num_read: int = 0
    num_split: int = 0
    held: str = ""
    has_content: bool = False

    def copy(self) -> "_Scan":
        """Return a scan of the same text, which can grow in another way."""
        return structs.replace(self, split=self.split and self.split.copy())

    def add(self, text: str) -> int | None:
        """Read more text; return the position after the marker, if it is complete."""
        self.num_read += len(text)
        pieces = self.split.add(text) if self.split else [TextPiece("content", text)]
        for piece in pieces:
            begin = self.num_split
            self.num_split += len(piece.text)
            found = self._read(piece.text) if piece.kind == "content" else None
            if found is not None:
                return begin + found
        return None

    def _read(self, piece: str) -> int | None:
        """Read content; return the position in it after the marker."""
        marker, at_start = self.layout.marker, self.layout.at_start
        content = self.held + piece
        found = find_marker(content, marker, at_start=at_start, has_before=self.has_content)
        if found is not None:
            return found + len(marker) - len(self.held)
        num_held = num_open(content, marker, at_start=at_start, has_before=self.has_content)
        length = len(content) - num_held
        self.has_content = self.has_content or bool(content[:length].strip())
        self.held = content[length:]
        return None
