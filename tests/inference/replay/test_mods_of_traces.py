"""The mods of recorded requests, replayed by the SDK without a model."""

import random

import pytest
from concordance_sdk.testing import UnrecordedError, replay
from recorded_requests import random_request

HI = {
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 12,
    "ignore_eos": True,
    "seed": 7,
}


@pytest.fixture(name="tokenizer")
def _tokenizer(server):
    return server.runtime.loaded.tokenizer


@pytest.fixture(name="mods")
def _mods(server):
    return {entry.name: entry.definition.target for entry in server.runtime.mods.entries()}


def replayed(trace, mods, tokenizer):
    known = [mods[name] for name in dict.fromkeys(mod.name for mod in trace.mods) if name in mods]
    return replay(trace, *known, tokenizer=tokenizer)


@pytest.mark.parametrize("seed", range(8))
def test_wild_mods_act_as_recorded(server, mods, tokenizer, seed):
    body = HI | {"mods": [{"name": "wild", "params": {"seed": seed}}], "max_tokens": 30}
    trace = server.record(body)

    result = replayed(trace, mods, tokenizer)

    actions = [e for e in trace.events if e.mod == "wild" and e.action not in ("", "Noop")]
    assert result.num_actions == len(actions)
    assert list(result.token_ids) == trace.completion_ids
    assert result.num_calls == sum(total.calls for total in trace.handlers)


def test_one_of_several_mods_is_replayed_and_the_others_act_as_recorded(server, mods, tokenizer):
    wild = {"name": "wild", "params": {"seed": 3}}
    trace = server.record(HI | {"mods": ["greeting", wild, "ends"], "max_tokens": 30})

    for name in ("greeting", "wild", "ends"):
        result = replay(trace, mods[name], tokenizer=tokenizer)
        assert result.names == (name,)
        assert list(result.token_ids) == trace.completion_ids


def test_random_requests_with_mods_are_replayed_without_a_model(server, mods, tokenizer):
    known = {trace.id for trace in server.traces()}
    requests = [random_request(random.Random(f"mods/{i}")) for i in range(30)]
    traces = [each for each in server.record_all(requests) if each.id not in known and each.mods]
    assert len(traces) > 15
    num_actions, unrecorded = 0, []
    for trace in traces:
        if not any(mod.name in mods for mod in trace.mods):
            continue
        try:
            result = replayed(trace, mods, tokenizer)
        except UnrecordedError as exc:
            unrecorded.append(str(exc))
            continue
        num_actions += result.num_actions
        length = len(trace.completion_ids)
        assert list(result.token_ids[:length]) == trace.completion_ids
    assert num_actions > 20
    reasons = ("penalties or a bias", "an earlier mod")
    assert [each for each in unrecorded if not any(why in each for why in reasons)] == []
