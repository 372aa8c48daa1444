"""What `concordance generate` prints."""

import pytest
from concordance_inference.cli.generate import show_text
from concordance_inference.generation import Completed, TextDelta
from concordance_shared import FinishReason, FunctionCall, ToolCall


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
