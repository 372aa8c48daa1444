"""Lines at the end of the terminal's output that are drawn again when they change."""

from collections.abc import Callable, Sequence

_BEGIN_UPDATE, _END_UPDATE = "\x1b[?2026h", "\x1b[?2026l"  # terminals show the whole at once
_CLEAR_BELOW = "\x1b[J"
_CLEAR_LINE = "\x1b[K"


class LiveLines:
    """Draws lines that may still change. Lines that no longer fit into the window become final.

    Only changed lines are written, so that nothing flickers, and no line is written twice into
    the part of the output that has scrolled out of the window.
    """

    def __init__(self, write: Callable[[str], object], height: Callable[[], int]) -> None:
        """Draw at the cursor, which is at the beginning of a line.

        Args:
            write: Writes to the terminal.
            height: The number of lines of the window.
        """
        self._write = write
        self._height = height
        self._drawn: list[str] = []  # the lines that can still be changed
        self._num_final = 0  # lines before them

    def show(self, lines: Sequence[str]) -> None:
        """Draw lines in place of those that were drawn."""
        self._draw(lines[self._num_final :])
        num_over = len(self._drawn) - max(1, self._height() - 1)
        if num_over > 0:
            self._num_final += num_over
            del self._drawn[:num_over]

    def finish(self, lines: Sequence[str]) -> None:
        """Draw lines for the last time; what is drawn next is after them."""
        self._draw(lines[self._num_final :])
        self._drawn, self._num_final = [], 0

    def _draw(self, lines: Sequence[str]) -> None:
        num_same = 0
        for before, after in zip(self._drawn, lines, strict=False):
            if before != after:
                break
            num_same += 1
        num_up = len(self._drawn) - num_same
        if num_up or num_same < len(lines):
            up = f"\x1b[{num_up}A" if num_up else ""
            new = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines[num_same:])
            clear = _CLEAR_BELOW if num_up > len(lines) - num_same else ""
            self._write(f"{_BEGIN_UPDATE}\r{up}{new}{clear}{_END_UPDATE}")
        self._drawn = list(lines)
