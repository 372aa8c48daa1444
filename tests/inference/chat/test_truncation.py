import itertools

import pytest
from concordance_inference.chat.truncation import first_fitting, room_for_prompt, shortened
from concordance_shared import ContextLengthError, FunctionCall, Message, ToolCall


def said(role, text="word " * 10, **fields):
    return Message(role=role, content=text, **fields)


CALL = (ToolCall(id="c", function=FunctionCall(name="f")),)
TURN = [said("user"), said("assistant", "", tool_calls=CALL), said("tool", tool_call_id="c"),
        said("assistant")]  # fmt: skip


def conversation(num_turns):
    return [said("system"), *TURN * num_turns, said("user", "Last?")]


def count(text):
    return len(text.split())


def render(messages):
    """Sixteen tokens a message, and its role as the first one."""
    return [
        token for m in messages for token in [len(m.role), *range(count(m.text)), 0, 0, 0, 0, 0]
    ]


def left(num_turns, most):
    return shortened(conversation(num_turns), render, count, most)


def test_a_conversation_that_fits_is_whole():
    messages, ids = left(3, 1000)
    assert (list(messages), ids) == (conversation(3), render(conversation(3)))


@pytest.mark.parametrize("num_turns", range(8, 40))
def test_whole_turns_are_left_out_and_instructions_and_the_last_turn_remain(num_turns):
    messages, ids = left(num_turns, 400)
    assert len(ids) <= 400
    assert messages[0].role == "system"
    assert messages[1].role == "user"
    assert messages[-1].text == "Last?"
    assert (len(messages) - 2) % len(TURN) == 0
    assert len(ids) > 400 - 400 // 4 - 2 * 60  # no more than a block and a turn


def test_prompts_of_several_turns_begin_with_the_same_turn():
    numbered = [said("system")]
    begins = []
    for i in range(60):
        numbered += [said("user", f"Question {i}"), said("assistant")]
        kept, _ = shortened([*numbered, said("user", "Last?")], render, count, 300)
        begins.append(kept[1].text)
    runs = [len([*run]) for _, run in itertools.groupby(begins)]
    assert all(run >= 3 for run in runs[:-1])
    assert len(runs) > 5


def test_a_last_turn_that_does_not_fit_is_refused_by_the_renderer():
    def refuse(messages):
        raise ContextLengthError("too long")

    with pytest.raises(ContextLengthError):
        shortened(conversation(3), refuse, count, 10)


def test_a_last_turn_longer_than_the_room_leaves_the_decision_to_the_request():
    messages, _ = left(3, 10)
    assert [message.role for message in messages] == ["system", "user"]


def test_turns_larger_than_a_block_are_left_out_one_by_one():
    turns = [3, 6, 9]
    assert first_fitting(turns, [50] * 12, 0, 400, lambda cut: cut >= 6) == 6


def test_single_turns_are_left_out_where_no_block_fits():
    turns = [1, 2, 3, 4]
    assert first_fitting(turns, [3] * 5, 0, 40, lambda cut: cut >= 4) == 4


@pytest.mark.parametrize(
    ("max_tokens", "room"), [(None, 99), (1, 99), (30, 70), (50, 50), (1000, 50)]
)
def test_room_is_left_for_the_completion_up_to_half_of_the_context(max_tokens, room):
    assert room_for_prompt(100, max_tokens) == room


def test_few_prompts_of_a_long_conversation_are_rendered():
    rendered = []

    def counting(messages):
        rendered.append(messages)
        return render(messages)

    shortened(conversation(300), counting, count, 400)
    assert len(rendered) <= 2
