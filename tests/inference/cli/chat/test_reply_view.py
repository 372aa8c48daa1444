import pytest
from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    CallEnded,
    ContentText,
    ReasoningText,
)
from concordance_inference.cli.chat.reply_view import PlainView, TerminalView, visible
from concordance_inference.cli.options import Chat
from concordance_shared import ModReport
from terminal_screen import TerminalScreen

CALL = (CallBegun(0, "c", "add"), CallArguments(0, '{"a":1}'), CallEnded(0))


def shown(*parts, **options):
    """What a terminal shows of a reply."""
    screen = TerminalScreen(columns=60, lines=30)
    view = TerminalView(Chat(**options), screen.size, screen.write, has_colour=False)
    view.prepare()
    for part in parts:
        view.add(part)
    view.end()
    return screen.text


def plain(*parts, **options):
    """What a pipe gets of a reply."""
    pieces = []
    view = PlainView(Chat(**options), pieces.append)
    for part in parts:
        view.add(part)
    view.end()
    return "".join(pieces)


def test_reasoning_is_shown_before_the_content():
    assert shown(ReasoningText("hm"), ReasoningText("m"), ContentText("**4**")) == "hmm\n\n4"


def test_hidden_reasoning_leaves_nothing():
    assert shown(ReasoningText("hmm"), ContentText("4"), reasoning="hide") == "4"


def test_hidden_reasoning_is_noted_while_it_lasts():
    screen = TerminalScreen()
    view = TerminalView(Chat(reasoning="hide"), screen.size, screen.write)
    view.prepare()
    assert screen.text == "…"
    view.add(ReasoningText("hmm"))

    assert screen.text == "reasoning …"


def test_text_is_shown_as_it_is_without_markdown():
    assert shown(ContentText("**4**\n"), ContentText("# 5"), markdown=False) == "**4**\n# 5"


def test_calls_of_tools_are_shown_on_lines_of_their_own():
    assert shown(ContentText("Let me add."), *CALL) == 'Let me add.\n→ add({"a":1})'
    assert shown(*CALL[:2], CallCut(0, "")) == '→ add({"a":1} …'


def test_cut_reply_is_repeated_from_its_last_block():
    screen = TerminalScreen()
    view = TerminalView(Chat(), screen.size, screen.write, has_colour=False)
    view.repeat("hmm", "one\n\ntwo **thr")
    view.prepare()
    view.add(ContentText("ee**"))
    view.end()

    assert screen.text == "two three"


def test_reply_that_was_cut_in_its_reasoning_is_repeated_from_its_last_line():
    screen = TerminalScreen()
    view = TerminalView(Chat(), screen.size, screen.write)
    view.repeat("one\ntw", "")
    view.add(ReasoningText("o"))
    view.end()

    assert screen.text == "two"


def test_reports_follow_the_reply():
    screen = TerminalScreen()
    view = TerminalView(Chat(), screen.size, screen.write)
    view.add_reports([ModReport(mod="m", step=1, data={"a": 1})])
    view.add(ContentText("Hi"))
    view.end()

    assert screen.text == 'Hi\nreported 1 m {"a":1}'


@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "\x9b1m", "\u202e"])
def test_model_cannot_control_the_terminal(text):
    assert visible(f"a{text}b").startswith("a\N{REPLACEMENT CHARACTER}")
    assert text not in shown(ContentText(f"a{text}b"))


def test_line_breaks_and_tabs_are_kept():
    assert visible("a\r\nb\tc") == "a\nb\tc"


def test_pipe_gets_the_content_as_it_is():
    assert plain(ReasoningText("hmm"), ContentText("**4**\x1b[1m")) == "**4**\x1b[1m\n"
    assert plain(ContentText("4\n")) == "4\n"
    assert plain() == "\n"


def test_pipe_gets_the_reasoning_on_request():
    assert plain(ReasoningText("hmm"), ContentText("4"), reasoning="show") == "hmm\n\n4\n"


def test_pipe_gets_calls_on_lines_of_their_own():
    assert plain(ContentText("Hm"), *CALL) == 'Hm\nadd({"a":1})\n'
