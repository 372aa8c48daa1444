"""The legality law, and the validation of every action that a mod returns."""

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
    Report,
    Sampled,
    ToolCalls,
    check_action,
)
from concordance_shared.legality import split_reports
from example_actions import CALL, example_action

VOCAB = 20
COMMON = {"request_id": "r", "step": 3}
EXAMPLES = {
    Prefilled: Prefilled(**COMMON, max_steps=5, context_info=ContextInfo(tokens=(1, 2))),
    ForwardPass: ForwardPass(**COMMON, logits=[0.0] * VOCAB),
    Sampled: Sampled(**COMMON, sampled_token=1),
    Added: Added(**COMMON, added_tokens=(1,), forced=False),
    Finished: Finished(**COMMON, finish_reason=FinishReason.STOP),
}


def check(answer, event=ForwardPass):
    return check_action(EXAMPLES[event], answer, mod="m", vocab_size=VOCAB)


@pytest.mark.parametrize(
    ("event", "action"), list(product(EVENTS, ACTIONS)), ids=lambda x: x.__name__
)
def test_an_action_is_allowed_exactly_where_the_table_says(event, action):
    if action in LEGAL_ACTIONS[event]:
        assert type(check(example_action(action), event)) is action
    else:
        with pytest.raises(InvalidActionError) as caught:
            check(example_action(action), event)

        for word in ("'m'", action.__name__, event.__name__, "step 3", "Noop"):
            assert word in caught.value.message


def test_an_action_that_is_not_allowed_says_where_it_is_and_how_to_be_called_there_only():
    with pytest.raises(InvalidActionError) as caught:
        check(ForceOutput((1,)), Finished)

    assert caught.value.message == (
        "mod 'm' returned ForceOutput, which is not allowed at Finished (step 3); allowed at "
        "Finished: Noop, Report. ForceOutput is allowed at Prefilled, ForwardPass, Sampled, Added: "
        "return it there only (`isinstance(event, ...)`; or, for a function, list its events: "
        "@mod(on=[Prefilled]))"
    )


@pytest.mark.parametrize(
    "answer",
    [
        "text",
        Noop,
        ForceTokens("hello"),
        ForceTokens([VOCAB]),
        Backtrack(-1),
        AdjustedLogits(allow=[]),
        AdjustedLogits(token_temp=-1),
        AdjustedLogits(),
        ToolCalls([]),
    ],
)
def test_the_actions_allowed_at_an_event_are_listed_only_where_legality_is_the_matter(answer):
    with pytest.raises(InvalidActionError) as caught:
        check(answer)

    assert "allowed at" not in caught.value.message


def test_a_text_in_place_of_an_action_suggests_to_force_it():
    with pytest.raises(InvalidActionError, match=r"force_tokens\(tokenizer.encode\(text\)\)"):
        check("hello")


def test_an_adjustment_of_nothing_is_rejected():
    with pytest.raises(InvalidActionError, match="without any of logits, bias, allow, ban, mask"):
        check(AdjustedLogits())


@pytest.mark.parametrize("nothing", [{"bias": {}}, {"ban": []}])
def test_an_empty_bias_or_ban_is_an_adjustment(nothing):
    assert type(check(AdjustedLogits(**nothing))) is AdjustedLogits


def test_none_is_a_noop():
    assert check(None) == Noop()


@pytest.mark.parametrize("answer", [Noop, check])
def test_uncalled_action_method_is_named(answer):
    with pytest.raises(
        InvalidActionError, match=f"`{answer.__name__}`, which .* until it is called"
    ):
        check(answer)


@pytest.mark.parametrize("answer", ["text", 3, True, {"n": 1}, [Noop()], Noop, object()])
def test_value_that_is_not_an_action_is_rejected(answer):
    with pytest.raises(InvalidActionError, match="not an action"):
        check(answer)


def test_token_ids_become_plain_integers():
    action = check(ForceTokens(np.array([1, 2], dtype=np.int64)))

    assert action.tokens == (1, 2)
    assert [type(t) for t in action.tokens] == [int, int]


@pytest.mark.parametrize("bad", [-1, VOCAB, 2**63, 1.0, True, "5", None])
def test_invalid_token_id_is_rejected(bad):
    with pytest.raises(InvalidActionError, match=r"ForceTokens\.tokens"):
        check(ForceTokens((1, bad)))


def test_text_instead_of_token_ids_suggests_to_encode_it():
    with pytest.raises(InvalidActionError, match="tokenizer.encode"):
        check(ForceTokens("hello"))


def test_tokens_that_are_not_iterable_are_rejected():
    with pytest.raises(InvalidActionError, match="list of token ids"):
        check(ForceTokens(7))


def test_force_tokens_without_tokens_is_a_noop():
    assert check(ForceTokens(())) == Noop()


def test_force_output_without_tokens_is_allowed():
    assert check(ForceOutput(())) == ForceOutput(())


def test_backtrack_with_an_empty_list_has_no_tokens():
    assert check(Backtrack(2, ())) == Backtrack(2)


@pytest.mark.parametrize("n", [-1, 1.0, True, "1", None])
def test_invalid_backtrack_count_is_rejected(n):
    with pytest.raises(InvalidActionError, match=r"Backtrack\.n"):
        check(Backtrack(n))


@pytest.mark.parametrize("logprobs", [1, "yes", None])
def test_prompt_logprobs_are_true_or_false(logprobs):
    assert check(AdjustedPrefill((1,), 2, logprobs=True), Prefilled).logprobs is True
    with pytest.raises(InvalidActionError, match=r"AdjustedPrefill\.logprobs"):
        check(AdjustedPrefill((1,), logprobs=logprobs), Prefilled)


def test_empty_prompt_is_rejected():
    with pytest.raises(InvalidActionError, match="empty prompt"):
        check(AdjustedPrefill(()), Prefilled)


@pytest.mark.parametrize("temperature", [-0.1, 101, math.nan, math.inf, "hot", True])
def test_invalid_temperature_is_rejected(temperature):
    with pytest.raises(InvalidActionError, match="token_temp"):
        check(AdjustedLogits(token_temp=temperature))


def test_empty_allow_is_rejected():
    with pytest.raises(InvalidActionError, match="no token to sample"):
        check(AdjustedLogits(allow=[]))


@pytest.mark.parametrize("bias", [{1: math.nan}, {1: math.inf}, {1: "x"}, {VOCAB: 1.0}, [1]])
def test_invalid_bias_is_rejected(bias):
    with pytest.raises(InvalidActionError, match="bias"):
        check(AdjustedLogits(bias=bias))


@pytest.mark.parametrize(
    "bias", [np.zeros(VOCAB), np.zeros((1, VOCAB)), [0.5] * VOCAB, bytes(4 * VOCAB)]
)
def test_bias_as_an_array_is_passed_on_unread(bias):
    assert check(AdjustedLogits(bias=bias)).bias is bias


@pytest.mark.parametrize(
    "bias", [np.zeros(VOCAB - 1), np.zeros((2, VOCAB)), 0.5, bytes(VOCAB), "x"]
)
def test_bias_of_another_shape_is_rejected(bias):
    with pytest.raises(InvalidActionError, match=r"AdjustedLogits\.bias"):
        check(AdjustedLogits(bias=bias))


def test_mapping_as_logits_is_rejected_and_bias_suggested():
    with pytest.raises(InvalidActionError, match="for a mapping: bias="):
        check(AdjustedLogits(logits={1: 3.0}))


def test_mask_of_bools_is_packed():
    mask = [False, True, True, *[False] * (VOCAB - 3)]

    assert check(AdjustedLogits(mask=mask)).mask == b"\6\0\0"


def test_bias_of_minus_infinity_is_allowed():
    assert check(AdjustedLogits(bias={1: -math.inf})).bias == {1: -math.inf}


@pytest.mark.parametrize(
    "mask", [np.array([0b110, 0, 0], np.uint8), b"\6\0\0\xff\xff", np.array([0b110], np.int32)]
)
def test_mask_is_selective_to_the_vocabulary(mask):
    assert check(AdjustedLogits(mask=mask)).mask == b"\6\0\0"


def test_mask_buffer_that_was_modified_is_read_again():
    mask = bytearray(b"\6\0\0")
    before = check(AdjustedLogits(mask=mask)).mask
    mask[0] = 0b1000

    assert (before, check(AdjustedLogits(mask=mask)).mask) == (b"\6\0\0", b"\10\0\0")


@pytest.mark.parametrize(
    ("mask", "why"), [(b"\1", "too short"), (b"\0\0\xf0", "no token"), ("abc", "packed bytes")]
)
def test_invalid_mask_is_rejected(mask, why):
    with pytest.raises(InvalidActionError, match=why):
        check(AdjustedLogits(mask=mask))


@pytest.mark.parametrize(
    "row", [[0.0] * VOCAB, np.zeros(VOCAB), np.zeros((1, VOCAB)), bytes(4 * VOCAB)]
)
def test_logits_of_the_vocabulary_size_are_accepted(row):
    assert check(AdjustedLogits(logits=row)).logits is row


@pytest.mark.parametrize("row", [[0.0], np.zeros((2, VOCAB)), np.zeros((VOCAB, 1)), 1.0])
def test_logits_of_another_shape_are_rejected(row):
    with pytest.raises(InvalidActionError, match=r"AdjustedLogits\.logits"):
        check(AdjustedLogits(logits=row))


def test_emit_error_without_a_string_is_rejected():
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
def test_tool_calls_are_normalized_to_openais_format(call):
    assert check(ToolCalls(call)) == ToolCalls((CALL,))


class Text(str):
    """A subclass of `str`, as the results of a script's steps are."""


def test_subclasses_of_str_become_strings_that_json_encodes():
    given = {"name": Text("f"), "arguments": {Text("a"): [Text("b")]}}
    (call,) = check(ToolCalls(given)).tool_calls
    (spelled,) = check(ToolCalls({"name": "f", "arguments": Text("{}")})).tool_calls
    error = check(EmitError(Text("no"))).err_str

    assert (call.function.name, call.function.arguments) == ("f", '{"a":["b"]}')
    texts = (call.function.name, spelled.function.arguments, error)
    assert [type(each) for each in texts] == [str, str, str]


def test_missing_tool_call_id_is_generated():
    (call,) = check(ToolCalls({"name": "look_up"})).tool_calls

    assert call.id.startswith("call_")


@pytest.mark.parametrize(
    "call", [[], "look_up", 3, [3], {"arguments": {}}, {"name": "f", "arguments": {1j}}]
)
def test_invalid_tool_calls_are_rejected(call):
    with pytest.raises(InvalidActionError, match="ToolCalls"):
        check(ToolCalls(call))


def test_report_without_data_is_a_noop():
    assert check(Report({})) == Noop()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (3, "its data is 3 instead of a mapping"),
        ({1: "a"}, "key 1, which is not a string"),
        ({"fine": 1, "seen": {1, 2}}, r"its 'seen' is not JSON: \{1, 2\} is of type set"),
        ({"p": math.nan}, "its 'p' is not JSON"),
    ],
)
def test_report_that_is_not_json_is_rejected_by_its_key(data, why):
    with pytest.raises(InvalidActionError, match=rf"mod 'm' .* Report .*{why}.* at Finished"):
        check(Report(data), Finished)


def split(*returned, event=Added):
    return split_reports(EXAMPLES[event], [*returned], mod="m")


def test_list_is_split_into_its_reports_and_one_other_action():
    first, second = Report({"a": 1}), Report({"b": 2})

    assert split(first, ForceTokens([1]), second) == ([first, second], ForceTokens([1]))
    assert split(first, Noop(), None) == ([first], None)
    assert split_reports(EXAMPLES[Added], first, mod="m") == ([first], None)
    assert split() == ([], None)


def test_list_with_two_actions_beside_reports_is_rejected():
    with pytest.raises(InvalidActionError, match="ForceTokens and Backtrack; beside reports"):
        split(Report({"a": 1}), ForceTokens([1]), Backtrack(1))


@pytest.mark.parametrize("value", [3, "a", [Report({"a": 1})], Report, check])
def test_list_with_something_that_is_not_an_action_is_rejected(value):
    with pytest.raises(InvalidActionError, match="not an action"):
        split(Report({"a": 1}), value)


class Unreadable:
    """Raises on every access."""

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
        (Report({"a": Unreadable()}), Finished),
        (Unreadable(), Finished),
    ],
    ids=range(9),
)
def test_action_that_raises_on_access_is_rejected(answer, event):
    with pytest.raises(InvalidActionError, match="mod 'm' returned an action that cannot be read"):
        check(answer, event)


def test_list_whose_value_raises_on_access_is_rejected():
    with pytest.raises(InvalidActionError, match="cannot be read"):
        split(Report({"a": 1}), Unreadable())


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (3, "to write tokens, `return actions.force_tokens(token_ids)`"),
        (np.zeros(3), "for a row of logits, `return actions.adjust_logits(row)`"),
        ((x for x in "ab"), "which is not an action, at ForwardPass"),
        (AdjustedLogits(logits=0.5), "for a temperature: token_temp="),
        (AdjustedLogits(ban=["cat"]), "encode it: tokenizer.encode('cat')"),
        (ToolCalls({"name": "f", "parameters": {}}), "a tool call has `arguments`, not `param"),
        (ToolCalls({"name": "f", "arguments": [1]}), "are an object, name -> value, not [1]"),
    ],
)
def test_a_likely_mistake_is_answered_by_what_to_write(answer, hint):
    with pytest.raises(InvalidActionError) as caught:
        check(answer)

    assert hint in caught.value.message
