"""Markdown that is rendered while it is generated.

Blocks that are finished are written once. Only the last block, to which the next text may belong,
is drawn again.
"""

import io
import re
import time
from collections.abc import Callable
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

from concordance_inference.cli.chat.live_lines import LiveLines

#: Seconds between two drawings, and how many times longer than a drawing it is at least.
INTERVAL_S = 0.05
_PAUSE = 10

#: Columns that stay empty, since terminals differ in the width of some characters.
_MARGIN = 2

#: Of the terminal's own colours, which are readable on its background.
_CODE_THEME = "ansi_dark"
_THEME = Theme(
    {
        **{f"markdown.h{level}": "bold" for level in range(1, 7)},
        "markdown.code": "cyan",
        "markdown.block_quote": "dim",
        "markdown.link": "none",
        "markdown.link_url": "underline",
    }
)

#: HTML is text: a model that writes it outside of a code block means it to be read.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class _Heading(Heading):
    """A heading on the left, in bold, with its marks: `## Title`."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console, options
        marks = Text("#" * int(self.tag[1:]) + " ", style="dim")
        yield Text.assemble(marks, self.text, style="bold")


class _CodeBlock(CodeBlock):
    """Code without a background and without empty lines around it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console, options
        code = str(self.text).rstrip()
        yield Syntax(
            code,
            self.lexer_name,
            theme=self.theme,
            word_wrap=True,
            padding=(0, 2),
            background_color="default",
        )


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _CodeBlock,
        "code_block": _CodeBlock,
    }


def blocks_of(text: str) -> list[list[Token]]:
    """Return the tokens of each block of a text."""
    blocks: list[list[Token]] = []
    for token in _PARSER.parse(text):
        if token.level == 0 and token.nesting >= 0:
            blocks.append([])
        for child in token.children or ():
            if child.type == "softbreak":  # models mean the line breaks that they write
                child.type = "hardbreak"
        blocks[-1].append(token)
    return blocks


def last_block(text: str) -> str:
    """Return the text of the last block, to which more text may belong."""
    blocks = blocks_of(text)
    begin = blocks[-1][0].map if blocks else None
    return "\n".join(text.split("\n")[begin[0] :]) if begin else text


class MarkdownStream:
    """Renders text as it comes."""

    def __init__(
        self,
        write: Callable[[str], object],
        size: Callable[[], tuple[int, int]],
        *,
        color_system: str | None = "standard",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Draw at the cursor, which is at the beginning of a line.

        Args:
            write: Writes to the terminal.
            size: The columns and lines of the window.
            color_system: As of rich's `Console`.
            clock: Returns the time in seconds.
        """
        self._live = LiveLines(write, lambda: size()[1])
        self._size = size
        self._color_system: Any = color_system
        self._clock = clock
        self._text = ""  # of the last block
        self._has_blocks = False  # before it
        self._next_at = 0.0

    def add(self, text: str) -> None:
        """Add text; draw it, unless that was done just now."""
        self._text += text
        begun = self._clock()
        if begun < self._next_at:
            return
        self._live.show(self._finish_blocks())
        ended = self._clock()
        self._next_at = ended + max(INTERVAL_S, _PAUSE * (ended - begun))

    def end(self) -> None:
        """Draw what is left, for the last time."""
        self._finish(self._finish_blocks())
        self._text = ""

    def _finish(self, lines: list[str]) -> None:
        self._live.finish(lines)
        self._has_blocks = self._has_blocks or bool(lines)

    def _finish_blocks(self) -> list[str]:
        """Write the blocks before the last one; return the lines of the last one."""
        *finished, last = blocks_of(self._text) or [[]]
        for block in finished:
            self._finish(self._lines(block))
        begin = last[0].map if finished else None
        if begin:
            self._text = "\n".join(self._text.split("\n")[begin[0] :])
        return self._lines(last)

    def _lines(self, block: list[Token]) -> list[str]:
        """The rendered lines of a block, after an empty line if there are blocks before it."""
        console = Console(
            file=io.StringIO(),
            force_terminal=self._color_system is not None,
            color_system=self._color_system,
            width=max(8, self._size()[0] - _MARGIN),
            theme=_THEME,
            highlight=False,
            legacy_windows=False,
        )
        markdown = _Markdown("", code_theme=_CODE_THEME, hyperlinks=False)
        markdown.parsed = block
        with console.capture() as capture:
            console.print(markdown)
        lines = _stripped(capture.get().split("\n"))
        return ["", *lines] if self._has_blocks and lines else lines


def _stripped(lines: list[str]) -> list[str]:
    """The lines without empty ones at the beginning and the end."""
    shown = [i for i, line in enumerate(lines) if _ESCAPE.sub("", line).strip()]
    return lines[shown[0] : shown[-1] + 1] if shown else []
