"""A terminal that draws what is written to it: lines that scrolled out, and the window."""

import re

_PIECES = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class TerminalScreen:
    """A window of a size. `scrolled` are the lines above it, which can no longer be changed."""

    def __init__(self, columns=60, lines=10):
        self.columns, self.height = columns, lines
        self.scrolled: list[str] = []
        self.window = [""]
        self.row = self.column = 0
        self.writes = []

    def size(self):
        return self.columns, self.height

    def write(self, text):
        self.writes.append(text)
        for _, count, command, control, plain in _PIECES.findall(text):
            if control == "\r":
                self.column = 0
            elif control == "\n":
                self._down()
            elif plain:
                self._put(plain)
            elif command == "A":
                up = int(count or 1)
                assert up <= self.row, "the cursor leaves the window"
                self.row -= up
            elif command == "K":
                self.window[self.row] = self.window[self.row][: self.column]
            elif command == "J":
                del self.window[self.row + 1 :]
                self.window[self.row] = self.window[self.row][: self.column]

    def _down(self):
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.window):
            self.window.append("")
        if len(self.window) > self.height:
            self.scrolled.append(self.window.pop(0))
            self.row -= 1

    def _put(self, text):
        line = self.window[self.row].ljust(self.column)
        self.window[self.row] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)
        assert self.column <= self.columns, "a line is wider than the window"

    @property
    def lines(self):
        """All lines, without spaces at their ends."""
        return [line.rstrip() for line in (*self.scrolled, *self.window)]

    @property
    def text(self):
        return "\n".join(self.lines).rstrip("\n")
