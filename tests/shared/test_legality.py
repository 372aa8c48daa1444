"""The legality law, and the door at which every answer of a mod is checked."""

import math
from itertools import product

import numpy as np
import pytest
from concordance_shared import (
    ACTIONS,
    EVENTS,
    LEGAL_ACTIONS,
    Added,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    ContextInfo,
    EmitError,
    Finished,
    FinishReason,
    ForceOutput,
    ForceTokens,
    ForwardPass,
    FunctionCall,
    InvalidActionError,
    Noop,
    Prefilled,
    Sampled,
    ToolCall,
    ToolCalls,
    check_action,
)

VOCAB = 20
COMMON = {"request_id": "r", "step": 3}
EXAMPLES = {
    Prefilled: Prefilled(**COMMON, max_steps=5, context_info=ContextInfo(tokens=(1, 2))),
    ForwardPass: ForwardPass(**COMMON, logits=[0.0] * VOCAB),
    Sampled: Sampled(**COMMON, sampled_token=1),
    Added: Added(**COMMON, added_tokens=(1,), forced=False),
    Finished: Finished(**COMMON, finish_reason=FinishReason.STOP),
}
CALL = ToolCall(id="call_1", function=FunctionCall("look_up", "{}"))
ANSWERS = {
    Noop: Noop(),
    AdjustedPrefill: AdjustedPrefill((1,)),
    AdjustedLogits: AdjustedLogits(allow=(1,)),
    ForceTokens: ForceTokens((1,)),
    Backtrack: Backtrack(1),
    ForceOutput: ForceOutput((1,)),
    ToolCalls: ToolCalls((CALL,)),
    EmitError: EmitError("no"),
}


def check(answer, event=ForwardPass):
    return check_action(EXAMPLES[event], answer, mod="m", vocab_size=VOCAB)


@pytest.mark.parametrize(
    ("event", "action"), list(product(EVENTS, ACTIONS)), ids=lambda x: x.__name__
)
def test_an_action_is_allowed_exactly_where_the_table_says(event, action):
    if action in LEGAL_ACTIONS[event]:
        assert type(check(ANSWERS[action], event)) is action
    else:
        with pytest.raises(InvalidActionError) as caught:
            check(ANSWERS[action], event)

        for word in ("'m'", action.__name__, event.__name__, "step 3", "Noop"):
            assert word in caught.value.message


def test_none_is_a_noop():
    assert check(None) == Noop()


@pytest.mark.parametrize("answer", [Noop, check])
def test_what_was_not_called_is_named(answer):
    with pytest.raises(InvalidActionError, match=f"`{answer.__name__}`, .* before it is called"):
        check(answer)


@pytest.mark.parametrize("answer", ["text", 3, True, {"n": 1}, [Noop()], Noop, object()])
def test_what_is_no_action_is_refused(answer):
    with pytest.raises(InvalidActionError, match="not an action"):
        check(answer)


def test_token_ids_become_plain_integers():
    action = check(ForceTokens(np.array([1, 2], dtype=np.int64)))

    assert action.tokens == (1, 2)
    assert [type(t) for t in action.tokens] == [int, int]


@pytest.mark.parametrize("bad", [-1, VOCAB, 2**63, 1.0, True, "5", None])
def test_a_token_id_that_cannot_be_is_refused(bad):
    with pytest.raises(InvalidActionError, match=r"ForceTokens\.tokens"):
        check(ForceTokens((1, bad)))


def test_text_instead_of_token_ids_names_the_cure():
    with pytest.raises(InvalidActionError, match="tokenizer.encode"):
        check(ForceTokens("hello"))


def test_tokens_that_are_no_list_are_refused():
    with pytest.raises(InvalidActionError, match="list of token ids"):
        check(ForceTokens(7))


def test_forcing_nothing_changes_nothing():
    assert check(ForceTokens(())) == Noop()


def test_an_empty_output_is_allowed():
    assert check(ForceOutput(())) == ForceOutput(())


def test_backtrack_without_tokens_has_none():
    assert check(Backtrack(2, ())) == Backtrack(2)


@pytest.mark.parametrize("n", [-1, 1.0, True, "1", None])
def test_a_count_that_cannot_be_is_refused(n):
    with pytest.raises(InvalidActionError, match=r"Backtrack\.n"):
        check(Backtrack(n))


def test_an_empty_prompt_is_refused():
    with pytest.raises(InvalidActionError, match="empty prompt"):
        check(AdjustedPrefill(()), Prefilled)


@pytest.mark.parametrize("temperature", [-0.1, 101, math.nan, math.inf, "hot", True])
def test_a_temperature_that_cannot_be_is_refused(temperature):
    with pytest.raises(InvalidActionError, match="token_temp"):
        check(AdjustedLogits(token_temp=temperature))


def test_an_empty_allow_is_refused():
    with pytest.raises(InvalidActionError, match="no token to sample"):
        check(AdjustedLogits(allow=[]))


@pytest.mark.parametrize("bias", [{1: math.nan}, {1: math.inf}, {1: "x"}, {VOCAB: 1.0}, [1]])
def test_a_bias_that_cannot_be_is_refused(bias):
    with pytest.raises(InvalidActionError, match="bias"):
        check(AdjustedLogits(bias=bias))


def test_minus_infinity_is_a_bias():
    assert check(AdjustedLogits(bias={1: -math.inf})).bias == {1: -math.inf}


@pytest.mark.parametrize(
    "mask", [np.array([0b110, 0, 0], np.uint8), b"\6\0\0\xff\xff", np.array([0b110], np.int32)]
)
def test_a_mask_is_cut_to_the_vocabulary(mask):
    assert check(AdjustedLogits(mask=mask)).mask == b"\6\0\0"


def test_a_mask_that_was_written_to_is_cut_anew():
    mask = bytearray(b"\6\0\0")
    before = check(AdjustedLogits(mask=mask)).mask
    mask[0] = 0b1000

    assert (before, check(AdjustedLogits(mask=mask)).mask) == (b"\6\0\0", b"\10\0\0")


@pytest.mark.parametrize(
    ("mask", "why"), [(b"\1", "too short"), (b"\0\0\xf0", "no token"), ("abc", "packed bytes")]
)
def test_a_mask_that_cannot_be_is_refused(mask, why):
    with pytest.raises(InvalidActionError, match=why):
        check(AdjustedLogits(mask=mask))


@pytest.mark.parametrize(
    "row", [[0.0] * VOCAB, np.zeros(VOCAB), np.zeros((1, VOCAB)), bytes(4 * VOCAB)]
)
def test_a_row_of_the_right_length_is_taken(row):
    assert check(AdjustedLogits(logits=row)).logits is row


@pytest.mark.parametrize("row", [[0.0], np.zeros((2, VOCAB)), np.zeros((VOCAB, 1)), 1.0])
def test_a_row_of_another_shape_is_refused(row):
    with pytest.raises(InvalidActionError, match=r"AdjustedLogits\.logits"):
        check(AdjustedLogits(logits=row))


def test_an_error_that_is_no_string_is_refused():
    with pytest.raises(InvalidActionError, match="EmitError"):
        check(EmitError(ValueError("x")))


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        [CALL],
        {"id": "call_1", "function": {"name": "look_up", "arguments": {}}},
        {"id": "call_1", "name": "look_up", "arguments": "{}"},
        {"id": "call_1", "function": {"name": "look_up"}},
        {"id": "call_1", "function": FunctionCall("look_up")},
    ],
)
def test_tool_calls_come_in_several_forms_and_leave_in_one(call):
    assert check(ToolCalls(call)) == ToolCalls((CALL,))


def test_a_missing_tool_call_id_is_made():
    (call,) = check(ToolCalls({"name": "look_up"})).tool_calls

    assert call.id.startswith("call_")


@pytest.mark.parametrize(
    "call", [[], "look_up", 3, [3], {"arguments": {}}, {"name": "f", "arguments": {1j}}]
)
def test_tool_calls_that_cannot_be_sent_are_refused(call):
    with pytest.raises(InvalidActionError, match="ToolCalls"):
        check(ToolCalls(call))


class Unreadable:
    """Raises whatever is asked of it."""

    def __index__(self):
        raise KeyError("kaput")

    __len__ = __iter__ = __repr__ = __index__


NESTED = {}
NESTED["self"] = NESTED


@pytest.mark.parametrize(
    ("answer", "event"),
    [
        (ForceTokens([Unreadable()]), Sampled),
        (ForceTokens(Unreadable()), Sampled),
        (Backtrack(Unreadable()), Added),
        (AdjustedLogits(logits=Unreadable()), ForwardPass),
        (AdjustedLogits(bias={1: 10**400}), ForwardPass),
        (EmitError(Unreadable()), Sampled),
        (ToolCalls({"name": "f", "arguments": NESTED}), Sampled),
        (Unreadable(), Finished),
    ],
    ids=range(8),
)
def test_an_answer_that_raises_when_it_is_read_is_refused(answer, event):
    with pytest.raises(InvalidActionError, match="mod 'm' gave an answer that cannot be read"):
        check(answer, event)
