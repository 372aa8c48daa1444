"""The program as a user sees it: under a pseudo-terminal, with a scripted model."""

import re
from types import SimpleNamespace

import pytest
from concordance_inference.cli.chat.program import run_program
from concordance_inference.cli.chat.screen import Screen
from concordance_inference.cli.chat.session import Session
from concordance_inference.cli.options import Chat
from concordance_shared import ConcordanceError
from pty_program import CTRL_C, CTRL_D, ENTER, TAB, PtyProgram
from scripted_chat import ScriptedModel, ScriptedReply

#: The editor waits for a message.
PROMPT = r"> a message, or /help\Z"

CODE = """
from pathlib import Path
from concordance_inference.chat.message_parts import ReasoningText
from concordance_inference.cli.chat.command import open_program
from concordance_inference.cli.options import Chat
from scripted_chat import ScriptedModel, cut, thinks

model = ScriptedModel({replies})
open_program(model, Chat(conversations=Path({folder!r}), {options}))
"""


@pytest.fixture(name="program")
def _program(tmp_path):
    """Run the program; `saved` in the test's folder has its conversations."""

    def program(*replies, options="", **window):
        code = CODE.format(
            replies=", ".join(replies), folder=str(tmp_path / "saved"), options=options
        )
        return PtyProgram(code, XDG_DATA_HOME=str(tmp_path / "data"), **window)

    return program


@pytest.mark.process
def test_message_is_typed_and_its_reply_rendered(program):
    with program("'**Hello** there'", "'Bye'") as chat:
        chat.expect(PROMPT)
        chat.type("Hi" + ENTER)
        chat.expect(r"Hello there\n.* s to the first token")
        chat.type("So long" + ENTER)
        chat.expect("Bye")
        chat.expect(PROMPT)
        chat.type(CTRL_D)

        assert chat.exit_status() == 0
        assert "scripted\n/help lists the commands" in chat.text
        assert "> Hi" in chat.text


@pytest.mark.process
def test_ctrl_c_stops_the_reply_and_resume_continues_it(program):
    with program("cut('Once upon', 60.0)", "' a time'") as chat:
        chat.expect(PROMPT)
        chat.type("Tell me" + ENTER)
        chat.expect("Once upon")
        chat.type(CTRL_C)
        chat.expect(f"stopped; /resume continues[^>]*{PROMPT}")
        chat.type(CTRL_C)
        chat.expect(f"Ctrl-D or /quit leaves[^>]*{PROMPT}")
        chat.type("/resume" + ENTER)
        chat.expect("Once upon a time\n")
        chat.type("/quit" + ENTER)

        assert chat.exit_status() == 0
        assert "Traceback" not in chat.text


@pytest.mark.process
def test_tab_completes_commands_and_their_arguments(program):
    with program() as chat:
        chat.expect(PROMPT)
        chat.type("/und")
        chat.expect("Remove the last message")
        chat.type(TAB)
        chat.expect("> /undo")
        chat.type("\x15/model an")
        chat.expect("  another")
        chat.type(TAB + ENTER + ENTER)
        chat.expect("continues with another")


@pytest.mark.process
def test_conversation_is_saved_and_loaded_by_the_next_run(program):
    with program("'Hello'", columns=200) as chat:
        chat.expect(PROMPT)
        chat.type("Hi" + ENTER)
        chat.expect("Hello")
        chat.type("/save greeting" + ENTER)
        chat.expect("saved as .*greeting.json")
        chat.expect(PROMPT)
        chat.type(CTRL_D)
        chat.exit_status()
    with program(options="load='greeting'", columns=200) as chat:
        chat.expect(r"greeting.json: 2 messages: Hi\nHello")
        chat.type("/undo" + ENTER)
        chat.expect("removed: Hi")


@pytest.mark.process
def test_text_typed_during_a_reply_is_the_next_message(program):
    with program("cut('first', 2.0, ' reply', finish='stop')", "'second'") as chat:
        chat.expect(PROMPT)
        chat.type("one" + ENTER)
        chat.expect("first")
        chat.type("two" + ENTER)
        chat.expect(r"first reply\n[^\n]*\n\n> two\nsecond")


@pytest.mark.process
def test_long_reply_is_shown_once_in_a_small_window(program):
    lines = [f"line {i}" for i in range(60)]
    pieces = ", ".join(f"{f'- {line}' + chr(10)!r}, 0.01" for line in lines)
    with program(f"cut({pieces}, finish='stop')", lines=8) as chat:
        chat.expect(PROMPT)
        chat.type("List" + ENTER)
        chat.expect("s to the first token")

        assert re.findall(r"line \d+", chat.text) == lines


@pytest.mark.process
def test_reasoning_is_shown_and_hidden(program):
    with program("thinks('hmm', 'A')", "thinks('hmm', 'B')") as chat:
        chat.expect(PROMPT)
        chat.type("one" + ENTER)
        chat.expect("hmm\n\nA\n")
        chat.type("/set reasoning hide" + ENTER)
        chat.expect("reasoning = hide")
        chat.type("two" + ENTER)
        chat.expect("> two\nB\n")


def lines_of(*lines):
    """An input of lines."""

    left = list(lines)
    return SimpleNamespace(read=lambda: left.pop(0) if left else None)


def test_errors_end_nothing(capsys):
    model = ScriptedModel(ScriptedReply([ConcordanceError("broken")]), "Hello")
    session = Session(model, Chat(), screen=Screen(is_terminal=False))
    run_program(session, lines_of("/nosuch", "Hi", "", "/retry"))
    captured = capsys.readouterr()

    assert captured.out == "\nHello\n"
    assert captured.err.count("concordance: ") == 2


def test_nothing_is_read_after_quit(capsys):
    session = Session(ScriptedModel(), Chat(), screen=Screen(is_terminal=False))
    run_program(session, lines_of("/quit", "Hi"))

    assert capsys.readouterr().out == ""
