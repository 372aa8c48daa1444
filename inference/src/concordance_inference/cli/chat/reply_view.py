"""How a reply is shown while it is generated: rendered in a terminal, as plain text on a pipe."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from concordance_shared import ModReport

from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    CallEnded,
    ContentText,
    MessagePart,
    ReasoningText,
)
from concordance_inference.cli.options import Chat

if TYPE_CHECKING:
    from concordance_inference.cli.chat.markdown_stream import MarkdownStream

Write = Callable[[str], object]

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"

#: Characters that a terminal acts on. A model's text has none that it means.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class ReplyView(Protocol):
    """Shows a reply."""

    def add(self, part: MessagePart) -> None:
        """Show a part."""
        ...

    def add_reports(self, reports: Sequence[ModReport]) -> None:
        """Show what mods reported, at the end."""
        ...

    def set_reports(self, reports: Sequence[ModReport]) -> None:
        """Show these reports, in place of those that were added."""
        ...

    def prepare(self) -> None:
        """Import what showing needs, while the model works."""
        ...

    def repeat(self, reasoning: str, content: str) -> None:
        """Show the end of a reply again, which the following parts continue."""
        ...

    def end(self) -> None:
        """Show what is left; the cursor is at the beginning of a line afterwards."""
        ...


def write_to_stdout(text: str) -> None:
    """Write and flush."""
    sys.stdout.write(text)
    sys.stdout.flush()


def visible(text: str) -> str:
    """Return a text without the characters that a terminal acts on, but tabs and line breaks."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r", ""))


class PlainView:
    """Writes a reply as it is, for programs and files. The reasoning is left out unless asked."""

    def __init__(self, options: Chat, write: Write = write_to_stdout) -> None:
        """Write to standard output.

        Args:
            options: Says if the reasoning is shown.
            write: Writes and flushes.
        """
        self._shows_reasoning = options.reasoning == "show"
        self._write = write
        self._line = ""  # the end of what was written
        self._in_reasoning = False
        self._reports: list[ModReport] = []

    def add(self, part: MessagePart) -> None:
        """Show a part."""
        is_reasoning = isinstance(part, ReasoningText)
        if is_reasoning and not self._shows_reasoning:
            return
        if self._in_reasoning and not is_reasoning:
            self._put("\n\n")
        self._in_reasoning = is_reasoning
        match part:
            case ReasoningText() | ContentText() | CallArguments() | CallCut():
                self._put(part.text)
            case CallBegun():
                self._put("" if self._line in ("", "\n") else "\n")
                self._put(f"{part.name}(")
            case CallEnded():
                self._put(")\n")

    def prepare(self) -> None:
        """Import nothing."""

    def repeat(self, reasoning: str, content: str) -> None:
        """Show nothing again: what follows is written after what was written."""

    def _put(self, text: str) -> None:
        self._write(text)
        self._line = text[-1:] or self._line

    def add_reports(self, reports: Sequence[ModReport]) -> None:
        """Show what mods reported, at the end."""
        self._reports += reports

    def set_reports(self, reports: Sequence[ModReport]) -> None:
        """Show these reports, in place of those that were added."""
        self._reports[:] = reports

    def end(self) -> None:
        """End the line, and write the reports."""
        if self._line != "\n" or not self._line:
            self._write("\n")
        for report in self._reports:
            self._write(f"{report}\n")


class TerminalView:
    """Renders a reply: Markdown, a dimmed reasoning, calls of tools."""

    def __init__(
        self,
        options: Chat,
        size: Callable[[], tuple[int, int]],
        write: Write = write_to_stdout,
        *,
        has_colour: bool = True,
    ) -> None:
        """Write to the terminal, whose cursor is at the beginning of a line.

        Args:
            options: Says what is shown.
            size: The columns and lines of the window.
            write: Writes and flushes.
            has_colour: The terminal has colours.
        """
        self._options = options
        self._size = size
        self._write = write
        self._has_colour = has_colour
        self._stream: MarkdownStream | None = None
        self._note_text = ""
        self._open = ""  # what the cursor is in: "reasoning", "note", "text", "call", or nothing
        self._reports: list[ModReport] = []

    def add(self, part: MessagePart) -> None:
        """Show a part."""
        match part:
            case ReasoningText():
                self._add_reasoning(visible(part.text))
            case ContentText():
                self._add_content(visible(part.text))
            case CallBegun():
                self._enter("call")
                self._write(f"{_DIM}→ {visible(part.name)}(")
            case CallArguments():
                self._write(visible(part.text))
            case CallEnded():
                self._write(f"){_PLAIN}\n")
                self._open = ""
            case CallCut():
                self._write(f" …{_PLAIN}\n")
                self._open = ""

    def repeat(self, reasoning: str, content: str) -> None:
        """Show the last block of the content again; its last line without Markdown."""
        if not content and reasoning:
            self._add_reasoning(visible(reasoning.rpartition("\n")[2]))
            return
        last = content.rpartition("\n")[2]
        if self._options.markdown:
            from concordance_inference.cli.chat.markdown_stream import last_block

            last = last_block(content)
        if last:
            self._add_content(visible(last))

    def _add_reasoning(self, text: str) -> None:
        if self._options.reasoning == "hide":
            self._note("reasoning …")
            return
        self._enter("reasoning")
        self._write(f"{_DIM}{text}{_PLAIN}")

    def _add_content(self, text: str) -> None:
        if self._open != "text" and not text.strip():
            return
        self._enter("text")
        if not self._options.markdown:
            self._write(text)
            return
        self._markdown.add(text)

    @property
    def _markdown(self) -> "MarkdownStream":
        if self._stream is None:
            from concordance_inference.cli.chat.markdown_stream import MarkdownStream

            colours = "standard" if self._has_colour else None
            self._stream = MarkdownStream(self._write, self._size, color_system=colours)
        return self._stream

    def prepare(self) -> None:
        """Import what rendering needs, while the prompt is processed."""
        if not self._open:
            self._note("…")
        if self._options.markdown:
            _ = self._markdown

    def _note(self, text: str) -> None:
        """Show a line until something else is shown."""
        if self._note_text != text:
            self._enter("")
            self._enter("note")
            self._note_text = text
            self._write(f"{_DIM}{text}{_PLAIN}")

    def _enter(self, what: str) -> None:
        """End what the cursor is in, unless it is the same, and begin something else."""
        if self._open == what:
            return
        was, self._open = self._open, what
        if was == "note":
            self._note_text = ""
            self._write("\r\x1b[K")
        elif was == "reasoning":
            self._write("\n\n")
        elif was == "text":
            self._end_text()

    def _end_text(self) -> None:
        if self._stream is not None and self._options.markdown:
            self._stream.end()
        else:
            self._write("\n")

    def add_reports(self, reports: Sequence[ModReport]) -> None:
        """Show what mods reported, at the end."""
        self._reports += reports

    def set_reports(self, reports: Sequence[ModReport]) -> None:
        """Show these reports, in place of those that were added."""
        self._reports[:] = reports

    def end(self) -> None:
        """Draw what is left, then the reports."""
        self._enter("")
        for report in self._reports:
            self._write(f"{_DIM}{visible(str(report))}{_PLAIN}\n")
