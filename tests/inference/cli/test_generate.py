"""What `concordance generate` prints."""

import sys

import pytest
from concordance_inference.cli.generate import show_text, show_tokens
from concordance_inference.generation import Completed, TextDelta, Token, TokensDelta
from concordance_sdk import Added, mod
from concordance_sdk.testing import play
from concordance_shared import EmittedError, FinishReason, FunctionCall, ToolCall


def completed(*names):
    calls = tuple(ToolCall(id="c1", function=FunctionCall(name)) for name in names)
    return Completed(text="", token_ids=(), finish_reason=FinishReason.TOOL_CALLS,
                     tool_calls=calls, prompt_tokens=1, completion_tokens=1)  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "calls", "printed"),
    [
        (["Let me ", "see."], ["look"], "Let me see.\nlook({})\n"),
        (["See:\n"], ["look"], "See:\nlook({})\n"),
        ([], ["look"], "look({})\n"),
        (["Both", ""], ["one", "two"], "Both\none({})\ntwo({})\n"),
        (["Only text"], [], "Only text\n"),
    ],
)
def test_tool_calls_are_printed_on_lines_after_the_text(capsys, texts, calls, printed):
    show_text([*(TextDelta(text=text) for text in texts), completed(*calls)])

    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(("texts", "printed"), [(["Hi"], "Hi\n"), (["Hi\n", ""], "Hi\n"), ([], "")])
def test_error_follows_the_text_on_a_line_of_its_own(capsys, texts, printed):
    def updates():
        yield from (TextDelta(text=text) for text in texts)
        raise EmittedError("no", mod="m")

    with pytest.raises(EmittedError):
        show_text(updates())

    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("is_terminal", [True, False])
def test_tool_calls_are_printed_on_lines_after_the_tokens(capsys, monkeypatch, is_terminal):
    delta = TokensDelta(kept=0, tokens=(Token(token_id=97, text="a", forced=False),))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)

    show_tokens([delta, completed("one", "two")])
    lines = capsys.readouterr().out.replace("\x1b[?25h", "").splitlines()  # shows the cursor

    assert lines[-3].endswith("a")
    assert lines[-2:] == ["one({})", "two({})"]


def test_tool_call_without_text_is_printed_with_tokens_as_without(capsys):
    show_tokens([completed("look")])

    assert capsys.readouterr().out == "look({})\n"


def test_lines_that_a_mod_prints_are_shown_after_the_display_also_at_an_error(capsys, monkeypatch):
    @mod(on=[Added], name="prints")
    def prints(event, actions):
        print("step", event.step)  # noqa: T201
        return actions.emit_error("no") if event.step == 1 else None

    def updates():
        yield TokensDelta(kept=0, tokens=(Token(token_id=97, text="a", forced=False),))
        play(prints, says="abc")

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(EmittedError):
        show_tokens(updates())

    assert capsys.readouterr().err == "[prints] step 0\n[prints] step 1\n"
