import pytest
from concordance_inference.cli.chat.markdown_stream import MarkdownStream, blocks_of, last_block
from terminal_screen import TerminalScreen

DOCUMENT = """# Title

A paragraph with *emphasis* and a [link](http://example.org), long enough for several lines.
A second line of it.

1. First
2. Second item that is long enough to be wrapped
   - nested

```python
def f(x):
    return x + 1
```

| name | value |
|---|---:|
| a | 1 |

> quoted

<b>html</b> stays & so does 1 < 2.
"""


def rendered(pieces, *, lines=60, columns=50, clock=None):
    """The screen after pieces, each of which is drawn."""
    screen = TerminalScreen(columns, lines)
    times = iter(range(10**6))
    stream = MarkdownStream(
        screen.write, screen.size, color_system=None, clock=clock or (lambda: next(times) * 1e3)
    )
    for piece in pieces:
        stream.add(piece)
    stream.end()
    return screen


def test_blocks_are_rendered():
    text = rendered([DOCUMENT]).text

    assert text.startswith("# Title\n\nA paragraph with emphasis and a link")
    assert "\nA second line of it.\n" in text
    assert " 1 First\n 2 Second item" in text
    assert "  def f(x):\n      return x + 1\n" in text
    assert "<b>html</b> stays & so does 1 < 2." in text


@pytest.mark.parametrize("size", [1, 3, 17])
@pytest.mark.parametrize("lines", [6, 60])
def test_streamed_text_is_shown_as_the_whole_text(size, lines):
    pieces = [DOCUMENT[i : i + size] for i in range(0, len(DOCUMENT), size)]

    assert rendered(pieces).text == rendered([DOCUMENT]).text
    streamed = rendered(pieces, lines=lines)
    assert streamed.text.count("A second line of it.") == 1
    assert streamed.text.endswith("so does 1 < 2.")


def test_finished_block_is_not_drawn_again():
    screen = TerminalScreen()
    times = iter(range(1000))
    stream = MarkdownStream(
        screen.write, screen.size, color_system=None, clock=lambda: next(times) * 1e3
    )
    for piece in ("one\n\n", "two", " three", "\n\nfour"):
        stream.add(piece)
    stream.end()

    assert sum("one" in each for each in screen.writes) == 1
    assert screen.text == "one\n\ntwo three\n\nfour"


def test_long_code_block_is_written_once_while_it_grows():
    lines = [f"x{i} = {i}" for i in range(100)]
    pieces = ["```python\n", *(f"{line}\n" for line in lines), "```\n"]
    screen = rendered(pieces, lines=8)

    assert [line.strip() for line in screen.lines if line.strip()] == lines
    assert sum(each.count("x50") for each in screen.writes) < 10


def test_text_is_drawn_at_intervals():
    now = 0.0
    screen = TerminalScreen()
    stream = MarkdownStream(screen.write, screen.size, color_system=None, clock=lambda: now)
    for piece in ("a", "b", "c"):
        stream.add(piece)
    assert screen.text == "a"
    now = 1.0
    stream.add("d")

    assert screen.text == "abcd"


def test_html_outside_of_code_is_not_dropped():
    assert rendered(["<div>\nHello\n</div>\n"]).text == "<div>\nHello\n</div>"


def test_last_block_is_the_one_that_more_text_may_belong_to():
    assert last_block("a\n\nb\nc") == "b\nc"
    assert last_block("a\n\n```\nx\n\ny") == "```\nx\n\ny"
    assert last_block("") == ""
    assert len(blocks_of("a\n\n- b\n- c\n\nd")) == 3


def test_colours_are_used_in_a_terminal_that_has_them():
    screen = TerminalScreen()
    stream = MarkdownStream(screen.write, screen.size)
    stream.add("**bold**")
    stream.end()

    assert "\x1b[1m" in "".join(screen.writes)
