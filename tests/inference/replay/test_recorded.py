"""Traces of files that were edited: what is wrong is named."""

import msgspec
import pytest
from concordance_inference.replay import ReplayError, replay
from concordance_inference.traces.schema import Trace, TraceEvent
from concordance_inference.traces.text import text_of_trace
from concordance_sdk import testing

HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "seed": 7}


@pytest.fixture(name="recorded", scope="module")
def _recorded(server):
    return server.record(HI)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"choice": -1}, "no choice -1"),
        ({"settings": {"loop_detection": 3}}, "its settings are not as a server records them"),
        ({"settings": {"truncation": []}}, "its settings"),
        ({"parameters": {"min_p": True}}, "its parameters .*min_p"),
        ({"parameters": {"stop": 3}}, "its parameters .*stop"),
        (
            {"parameters": {"loop_detection": {"max_tries": "x"}}},
            "its parameters .*max_tries",
        ),
        ({"limits": {"max_tokens": [1]}}, "its parameters .*max_tokens"),
    ],
)
def test_a_value_that_no_server_records_is_named(server, recorded, changes, what):
    with pytest.raises(ReplayError, match=what):
        replay(msgspec.structs.replace(recorded, **changes), server.runtime)


def test_settings_that_are_not_known_are_ignored(server, recorded):
    changed = msgspec.structs.replace(recorded, settings={"hosts": 3, "models": None})
    assert replay(changed, server.runtime).is_same


def test_a_replay_from_the_middle_names_an_event_that_no_server_records(server, recorded):
    event = TraceEvent(
        index=0, mod="a", event="Prefilled", action="", position=0, details={"max_steps": [3]}
    )
    changed = msgspec.structs.replace(recorded, events=[event])

    with pytest.raises(ReplayError, match="its events are not as a server records them"):
        replay(changed, server.runtime, start=2)


@pytest.mark.parametrize(
    ("limits", "details"), [({"forced_end_ids": True}, {}), ({}, {"token_ids": 3})]
)
def test_a_test_of_mods_names_values_that_no_server_records(recorded, limits, details):
    data = msgspec.to_builtins(recorded)
    data["limits"] |= limits
    data["events"] = [{"index": 0, "mod": "a", "event": "Added", "details": details}]

    with pytest.raises(ValueError, match="not as a server records them"):
        testing.replay(data)


@pytest.mark.parametrize("created", [1e308, -1e18, 1e14])
def test_numbers_that_no_server_records_are_shown(created):
    token = {"index": 0, "position": 0, "token_id": 1, "text": "b"}
    other = {"token_id": 5, "text": "a", "logprob": 1e300, "adjusted_logprob": 1e308}
    data = {"id": "t", "created": created, "tokens": [{**token, "alternatives": [other]}]}

    assert "'a' 100.0%" in text_of_trace(msgspec.convert(data, Trace))
