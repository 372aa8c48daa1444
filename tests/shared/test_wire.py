"""Events and actions encode and decode: a mod can run in another process."""

from functools import reduce
from operator import or_

import concordance_shared
import msgspec
import pytest
from concordance_shared import (
    ACTIONS,
    Action,
    Added,
    AdjustedLogits,
    AnyAction,
    Backtrack,
    ContextInfo,
    Event,
    Finished,
    FinishReason,
    ForwardPass,
    Noop,
    Prefilled,
    Sampled,
)
from example_actions import example_action

COMMON = {"request_id": "r", "step": 0}
EVENTS = [
    Prefilled(**COMMON, max_steps=5, context_info=ContextInfo(tokens=(1, 2))),
    Sampled(**COMMON, sampled_token=1),
    Added(**COMMON, added_tokens=(1,), forced=True),
    Finished(**COMMON, finish_reason=FinishReason.LENGTH),
]


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_event_round_trips(event, codec):
    events = reduce(or_, concordance_shared.EVENTS)

    assert codec.decode(codec.encode(event), type=events) == event


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
@pytest.mark.parametrize("action_class", ACTIONS, ids=lambda a: a.__name__)
def test_action_round_trips(action_class, codec):
    action = example_action(action_class)

    decoded = codec.decode(codec.encode(action), type=AnyAction)

    assert type(decoded) is action_class
    assert msgspec.to_builtins(decoded) == msgspec.to_builtins(action)


def test_adjusted_logits_encode_a_mask_of_bytes():
    action = AdjustedLogits(allow=(1,), bias={2: 1.5}, mask=b"\6", token_temp=0.0)

    back = msgspec.msgpack.decode(msgspec.msgpack.encode(action), type=AdjustedLogits)

    assert (back.allow, back.bias, back.mask, back.token_temp) == ([1], {2: 1.5}, b"\6", 0.0)


def test_forward_pass_encodes_prompt_logprobs():
    event = ForwardPass(**COMMON, logits=[], prompt_logprobs=(None, -0.5))

    decoded = msgspec.json.decode(msgspec.json.encode(event), type=ForwardPass)
    assert decoded.prompt_logprobs == (None, -0.5)


def test_forward_pass_encodes_if_its_logits_are_a_list():
    event = ForwardPass(**COMMON, logits=[[7, 0.5]])

    assert msgspec.json.decode(msgspec.json.encode(event), type=ForwardPass).logits == [[7, 0.5]]


def test_sampled_encodes_its_logprob_if_it_is_known():
    known = msgspec.structs.replace(EVENTS[1], known_logprob=-0.5)

    assert msgspec.json.decode(msgspec.json.encode(known), type=Sampled).logprob == -0.5
    assert b"logprob" in msgspec.json.encode(known)
    assert b"logprob" not in msgspec.json.encode(EVENTS[1])


def test_a_reader_of_the_logprob_changes_no_value_of_the_event():
    event = Sampled(**COMMON, sampled_token=1)
    event.set_logprob_reader(lambda: -0.5)

    assert event.logprob == -0.5
    assert event == EVENTS[1]
    assert msgspec.msgpack.encode(event) == msgspec.msgpack.encode(EVENTS[1])


def test_encoded_events_and_actions_carry_their_class_name():
    assert msgspec.json.decode(msgspec.json.encode(EVENTS[1]))["type"] == "Sampled"
    assert msgspec.json.decode(msgspec.json.encode(Backtrack(2, [3])))["type"] == "Backtrack"


def test_events_and_actions_are_immutable():
    with pytest.raises(AttributeError):
        EVENTS[1].step = 4
    assert issubclass(Sampled, Event)
    assert issubclass(Noop, Action)
