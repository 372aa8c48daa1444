"""Events and actions can be encoded: a mod may live in another process."""

import msgspec
import pytest
from concordance_shared import (
    Action,
    Added,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    ContextInfo,
    EmitError,
    Event,
    Finished,
    FinishReason,
    ForceOutput,
    ForceTokens,
    ForwardPass,
    FunctionCall,
    Noop,
    Prefilled,
    Sampled,
    ToolCall,
    ToolCalls,
)

COMMON = {"request_id": "r", "step": 0}
EVENTS = [
    Prefilled(**COMMON, max_steps=5, context_info=ContextInfo(tokens=(1, 2))),
    Sampled(**COMMON, sampled_token=1),
    Added(**COMMON, added_tokens=(1,), forced=True),
    Finished(**COMMON, finish_reason=FinishReason.LENGTH),
]
ACTIONS = [
    Noop(),
    AdjustedPrefill([1, 2], 4),
    ForceTokens([1]),
    Backtrack(2, [3]),
    ForceOutput([1]),
    ToolCalls([ToolCall(id="call_1", function=FunctionCall("f", "{}"))]),
    EmitError("no"),
]


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_an_event_comes_back_as_it_went(event, codec):
    events = Prefilled | Sampled | Added | Finished

    assert codec.decode(codec.encode(event), type=events) == event


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: type(a).__name__)
def test_an_action_comes_back_as_it_went(action, codec):
    actions = Noop | AdjustedPrefill | ForceTokens | Backtrack | ForceOutput | ToolCalls | EmitError

    assert codec.decode(codec.encode(action), type=actions) == action


def test_an_adjustment_of_logits_travels_as_ids_and_bytes():
    action = AdjustedLogits(allow=(1,), bias={2: 1.5}, mask=b"\6", token_temp=0.0)

    back = msgspec.msgpack.decode(msgspec.msgpack.encode(action), type=AdjustedLogits)

    assert (back.allow, back.bias, back.mask, back.token_temp) == ([1], {2: 1.5}, b"\6", 0.0)


def test_a_forward_pass_travels_once_its_row_is_plain():
    event = ForwardPass(**COMMON, logits=[[7, 0.5]])

    assert msgspec.json.decode(msgspec.json.encode(event), type=ForwardPass).logits == [[7, 0.5]]


def test_every_event_and_action_says_what_it_is_on_the_wire():
    assert msgspec.json.decode(msgspec.json.encode(EVENTS[1]))["type"] == "Sampled"
    assert msgspec.json.decode(msgspec.json.encode(ACTIONS[3]))["type"] == "Backtrack"


def test_events_and_actions_do_not_change():
    with pytest.raises(AttributeError):
        EVENTS[1].step = 4
    assert issubclass(Sampled, Event)
    assert issubclass(Noop, Action)
