"""What the program itself prints: notes, errors, and rows of names with their meaning."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field

from concordance_inference.cli.chat.reply_view import (
    PlainView,
    ReplyView,
    TerminalView,
    visible,
    write_to_stdout,
)
from concordance_inference.cli.options import Chat

_BOLD, _DIM, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"


def _is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@dataclass
class Screen:
    """Standard output, which is a terminal or not."""

    is_terminal: bool = field(default_factory=_is_terminal)
    has_failed: bool = False  # an error was printed

    def view(self, options: Chat) -> ReplyView:
        """Return what shows a reply."""
        if not self.is_terminal:
            return PlainView(options)
        has_colour = not os.environ.get("NO_COLOR")
        return TerminalView(options, shutil.get_terminal_size, has_colour=has_colour)

    def title(self, text: str) -> None:
        """Print a heading, in a terminal only."""
        if self.is_terminal:
            write_to_stdout(f"{_BOLD}{visible(text)}{_PLAIN}\n")

    def hint(self, text: str) -> None:
        """Print dimmed text, in a terminal only."""
        if self.is_terminal:
            width = shutil.get_terminal_size().columns
            write_to_stdout(f"{_DIM}{textwrap.fill(visible(text), width)}{_PLAIN}\n")

    def print(self, text: str = "") -> None:
        """Print what a command was asked for."""
        write_to_stdout(f"{visible(text) if self.is_terminal else text}\n")

    def error(self, text: str) -> None:
        """Print an error: in a terminal in red, else to standard error."""
        self.has_failed = True
        if self.is_terminal:
            write_to_stdout(f"{_RED}{visible(text)}{_PLAIN}\n")
        else:
            print(f"concordance: {text}", file=sys.stderr, flush=True)

    def rows(self, rows: Iterable[tuple[str, str]]) -> None:
        """Print names, each with its meaning at the same column."""
        listed = [*rows]
        width = max((len(name) for name, _ in listed), default=0)
        for name, meaning in listed:
            self.print(self._row(name.ljust(width), meaning).rstrip())

    def _row(self, name: str, meaning: str) -> str:
        """A row, cut at the width of a terminal."""
        line = f"{name}  {meaning}"
        width = shutil.get_terminal_size().columns if self.is_terminal else len(line)
        return line if len(line) <= width else line[: width - 1] + "…"
