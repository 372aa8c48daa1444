import pytest
from concordance_inference.cli.chat.reply_view import PlainView, TerminalView
from concordance_inference.cli.chat.screen import Screen
from concordance_inference.cli.options import Chat


def test_pipe_gets_replies_only_and_errors_on_standard_error(capsys):
    screen = Screen(is_terminal=False)
    screen.title("model")
    screen.hint("hint")
    screen.error("it failed")
    screen.print("text")
    captured = capsys.readouterr()

    assert (captured.out, captured.err) == ("text\n", "concordance: it failed\n")
    assert screen.has_failed


def test_terminal_gets_all(capsys):
    screen = Screen(is_terminal=True)
    screen.title("model")
    screen.hint("hint")
    screen.error("it failed")
    captured = capsys.readouterr()

    assert captured.err == ""
    for word in ("model", "hint", "it failed"):
        assert word in captured.out


def test_rows_have_columns_and_fit_into_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    Screen(is_terminal=True).rows([("a", "x" * 50), ("bbb", "y"), ("c", "")])
    lines = capsys.readouterr().out.splitlines()

    assert lines == ["a    " + "x" * 14 + "…", "bbb  y", "c"]


@pytest.mark.parametrize(("is_terminal", "view"), [(True, TerminalView), (False, PlainView)])
def test_view_of_a_reply(is_terminal, view):
    assert isinstance(Screen(is_terminal=is_terminal).view(Chat()), view)


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_pipe_is_no_terminal(monkeypatch, term):
    monkeypatch.setenv("TERM", term)

    assert not Screen().is_terminal


def test_long_hint_is_wrapped_between_words(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "12")
    Screen(is_terminal=True).hint("one two three four")

    assert "one two\nthree four" in capsys.readouterr().out
