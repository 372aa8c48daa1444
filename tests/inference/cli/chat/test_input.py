import io
import sys

import pytest
from concordance_inference.cli.chat.input import PipeInput, TerminalInput, is_open, message_of
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

ENTER, ALT_ENTER, CTRL_C, CTRL_D, UP = "\r", "\x1b\r", "\x03", "\x04", "\x1b[A"


def no_words(text):
    return iter(())


def typed(*keys, history=None):
    """The messages of what is typed, until Ctrl-D."""
    with create_pipe_input() as keyboard:
        keyboard.send_text("".join(keys) + CTRL_D)
        messages = TerminalInput(no_words, history, input=keyboard, output=DummyOutput())
        return list(iter(messages.read, None))


def test_enter_sends_and_ctrl_d_leaves():
    assert typed("hello", ENTER, "again", ENTER) == ["hello", "again"]


def test_enter_sends_nothing_that_is_empty():
    assert typed(ENTER, "  ", ENTER, "a", ENTER) == ["a"]


@pytest.mark.parametrize(
    "keys",
    [
        ("a", ALT_ENTER, "b", ENTER),
        ("a\\", ENTER, "b", ENTER),
        ('"""', ENTER, "a", ENTER, "b", ENTER, '"""', ENTER),
        ("\x1b[200~a\nb\x1b[201~", ENTER),
    ],
)
def test_message_has_several_lines(keys):
    assert typed(*keys) == ["a\nb"]


def test_line_feed_sends_as_enter_does():
    assert typed("a\n") == ["a"]


def test_ctrl_c_is_raised():
    with create_pipe_input() as keyboard:
        keyboard.send_text("abc" + CTRL_C)
        messages = TerminalInput(no_words, None, input=keyboard, output=DummyOutput())
        with pytest.raises(KeyboardInterrupt):
            messages.read()


def test_earlier_messages_are_kept_in_a_file_of_the_owner(tmp_path):
    history = tmp_path / "new" / "history"
    typed("hello", ENTER, history=history)

    assert typed(UP, ENTER, history=history) == ["hello"]
    assert history.stat().st_mode & 0o777 == 0o600


def test_history_that_cannot_be_written_is_kept_in_memory(tmp_path):
    (tmp_path / "file").touch()

    assert typed("a", ENTER, history=tmp_path / "file" / "history") == ["a"]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ('"""\na\n\nb\n"""\nc\n', ["a\n\nb", "c"]),
        ("a\\\nb\n", ["a\nb"]),
        ("one", ["one"]),
        ('"""\nopen', ["open"]),
        ("a\r\n", ["a"]),
        ("", []),
    ],
)
def test_lines_of_a_pipe_are_messages(monkeypatch, text, messages):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text, newline=""))

    assert list(iter(PipeInput().read, None)) == messages


def test_open_messages():
    assert [is_open(text) for text in ("a", "a\\", '"""', '"""a', '"""a"""', '""""')] == [
        *(False, True, True, True, False, True)
    ]
    assert message_of('"""a"""') == "a"
