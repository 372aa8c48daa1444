"""Requests that are recorded over HTTP and run again."""

import random
import time

import msgspec
import pytest
from concordance_inference.llm import LLM
from concordance_inference.replay import ReplayError, replay
from concordance_inference.traces.schema import Trace
from recorded_requests import MODS
from replay_soak import soak

SEEDLESS = {
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 12,
    "temperature": 1.0,
    "ignore_eos": True,
}
HI = SEEDLESS | {"seed": 7}
WILD = HI | {"mods": [{"name": "wild", "params": {"seed": 11}}]}


@pytest.mark.slow
def test_forty_random_requests_of_a_batch_are_replayed_token_by_token(tmp_path):
    results = list(soak(tmp_path, num=40, seed="suite"))

    assert [str(result) for _, result, _ in results if not result.is_same] == []
    assert any(trace.backtracked_tokens for trace, _, _ in results)
    assert sum(bool(trace.mods) for trace, _, _ in results) > 20


def test_a_seed_that_the_client_did_not_give_is_in_the_trace(server):
    trace = server.record(SEEDLESS)

    result = replay(trace, server.runtime)

    assert result.is_same, str(result)
    assert str(result) == f"trace {trace.id}: same 12 tokens, and the same end (length)"
    assert (result.num_same, result.warnings) == (12, ())
    assert result.trace.completion_ids == trace.completion_ids


def test_a_trace_that_was_exported_is_replayed_by_an_llm_of_its_own(server):
    trace = server.record(WILD)
    line = msgspec.json.encode(trace)

    with LLM(server.folder / "tiny", mod_paths=[server.folder / "wild.py"]) as llm:
        result = replay(msgspec.json.decode(line, type=Trace), llm)

    assert result.is_same, str(result)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "abc", "max_tokens": 9}),
        ("/v1/completions", {"prompt": ["a", "b"], "n": 2, "max_tokens": 5}),
        ("/v1/responses", {"input": "hi", "max_output_tokens": 9}),
        ("/v1/messages", HI | {}),
        ("/v1/chat/completions", HI | {"model": "{}/wild+greeting"}),
        ("/v1/chat/completions", HI | {"n": 3}),
    ],
)
def test_each_route_and_each_choice_can_be_replayed(server, path, body):
    known = {trace.id for trace in server.traces()}
    assert server.post(body, path).status_code == 200

    time.sleep(0.1)

    made = [trace for trace in server.traces() if trace.id not in known]

    assert len(made) == len(body["prompt"]) * 2 if isinstance(body.get("prompt"), list) else made
    for trace in made:
        result = replay(trace, server.runtime)
        assert result.is_same, str(result)


def test_an_edited_mod_replaces_that_of_the_trace_and_the_first_difference_is_shown(
    server, tmp_path
):
    trace = server.record(HI | {"mods": ["ends"]})
    edited = tmp_path / "edited.py"
    edited.write_text(MODS.replace("at: int = 6", "at: int = 3"))

    result = replay(trace, server.runtime, mods=[edited])

    assert not result.is_same
    assert result.warnings == ()
    assert result.difference.what == "token"
    (event,) = [event for event in result.trace.events if event.mod == "ends"]
    assert event.position == 3
    text = str(result)
    assert f"trace {trace.id}: differs at position" in text
    assert "  context   " in text
    assert "  recorded  " in text
    assert "forced by ends" in text


def test_a_replay_stops_where_it_differs(server, tmp_path):
    trace = server.record(HI | {"mods": ["ends"]} | {"max_tokens": 3})
    trace.completion_ids[0] ^= 1
    trace.tokens[0].token_id ^= 1
    trace.limits["max_tokens"] = 1500

    result = replay(trace, server.runtime)

    assert (result.difference.position, result.num_same) == (0, 0)
    assert result.difference.replayed.alternatives
    assert len(result.trace.completion_ids) < 1500


def test_a_mod_whose_file_has_changed_is_a_warning(server, tmp_path):
    trace = server.record(WILD)
    trace.mods[0].hash = "sha256:000000000000"

    (warning,) = replay(trace, server.runtime).warnings

    assert warning.startswith("the mod wild has changed: sha256:")
    assert warning.endswith("recorded sha256:000000000000")


def test_an_edited_file_without_a_mod_of_the_trace_is_refused(server, tmp_path):
    trace = server.record(HI | {"mods": ["greeting"]})
    other = tmp_path / "other.py"
    other.write_text("from concordance_sdk import mod\n\n@mod\ndef another(event, actions): ...\n")

    with pytest.raises(ReplayError, match="the file defines another, and trace .* has greeting"):
        replay(trace, server.runtime, mods=[other])


def test_a_mod_that_is_not_known_here_is_named(server):
    trace = server.record(WILD)
    trace.source["mods"][0]["name"] = "gone"

    with pytest.raises(ReplayError, match=r"no mod 'gone'.*--mod FILE"):
        replay(trace, server.runtime)


def test_another_model_is_refused_unless_it_is_accepted(server):
    trace = server.record(HI)
    trace.build["model"] = "sha256:1"
    trace.build["mlx"] = "0.1"

    with pytest.raises(ReplayError, match=r"of the model 'tiny' with the hash sha256:1; this one"):
        replay(trace, server.runtime)

    result = replay(trace, server.runtime, other_model=True)
    assert result.is_same
    assert "the version of MLX is another one" in str(result)
    assert "the model is another one" in str(result)


def test_a_trace_of_level_requests_compares_the_completion(server):
    trace = server.record(WILD | {"trace": "requests"})
    assert trace.tokens == []

    result = replay(trace, server.runtime)

    assert result.is_same, str(result)
    assert "only the completion can be compared" in str(result)
    trace.completion_ids[2] ^= 1
    result = replay(trace, server.runtime)
    assert (result.difference.position, result.difference.what) == (2, "token")
    with pytest.raises(ReplayError, match="its level is 'requests'"):
        replay(trace, server.runtime, start=2)


def test_what_a_trace_lacks_is_named(server):
    trace = server.record(HI)
    trace.source, trace.seed, trace.status = None, None, "running"

    with pytest.raises(ReplayError) as error:
        replay(trace, server.runtime)

    for what in ("its end", "the body and the prompt", "--trace-prompts", "the seed"):
        assert what in error.value.message


def test_a_request_that_continues_a_completion_cannot_be_replayed(server):
    first = server.record(HI | {"max_tokens": 3})
    resumed = server.record({"resume_from": first.id, "max_tokens": 4})

    with pytest.raises(ReplayError, match="what resume_from='.*' refers to"):
        replay(resumed, server.runtime)


def test_failed_requests_fail_again_in_the_same_way(server):
    trace = server.record(HI | {"mods": ["fails"]})
    assert trace.status == "failed"

    result = replay(trace, server.runtime)

    assert result.is_same, str(result)
    trace.error = "another"
    assert "and another end" in str(replay(trace, server.runtime))


def test_a_request_that_was_cancelled_is_compared_as_far_as_it_came(server):
    trace = server.record(HI | {"max_tokens": 30})
    del trace.tokens[10:], trace.completion_ids[10:]
    trace.finish_reason = "cancelled"

    result = replay(trace, server.runtime)

    assert result.is_same, str(result)
    assert result.num_same == 10


@pytest.mark.parametrize("start", [1, 5, 11])
@pytest.mark.parametrize("fields", [{}, {"stop": ["zz"], "presence_penalty": 1.0, "top_p": 0.9}])
def test_a_replay_from_the_middle_continues_with_the_same_tokens(server, start, fields):
    trace = server.record(HI | fields)

    result = replay(trace, server.runtime, start=start)

    assert result.is_same, str(result)
    assert result.num_same == 12 - start
    assert [token.origin for token in result.trace.tokens[:start]] == ["given"] * start


def test_a_replay_from_the_middle_of_a_forced_text_forces_its_rest(server):
    text = {"name": "greeting", "params": {"text": "Hello"}}
    trace = server.record(HI | {"mods": [text]})

    result = replay(trace, server.runtime, start=2)

    assert result.is_same, str(result)
    assert [token.mod for token in result.trace.tokens[2:6]] == ["greeting"] * 3 + [None]


@pytest.mark.parametrize("seed", range(6))
def test_a_replay_from_where_tokens_were_removed_repeats_the_rest(server, seed):
    """Mods see the given tokens as those of a resumed completion; one without a state continues."""
    dice = random.Random(seed)
    replaces = {"name": "replace", "params": {"find": "q", "replacement": "QQ"}}
    trace = server.record(HI | {"mods": [replaces], "logit_bias": {"80": 4}, "max_tokens": 20})

    result = replay(trace, server.runtime, start=dice.randrange(1, len(trace.completion_ids)))

    assert result.is_same, str(result)


@pytest.mark.parametrize("start", [12, 100])
def test_a_start_beyond_the_completion_is_refused(server, start):
    trace = server.record(HI)

    with pytest.raises(ReplayError, match="its completion has 12 tokens; give less"):
        replay(trace, server.runtime, start=start)


def test_actions_by_hand_over_http_are_applied_again(server):
    known = {trace.id for trace in server.traces()}
    actions = [
        {"type": "pause"},
        {"type": "force", "text": "abc"},
        {"type": "backtrack", "num_tokens": 1, "text": "xyz"},
        {"type": "adjust", "bias": {"97": 5.0}, "num_steps": 4},
        {"type": "add_mod", "mod": {"name": "wild", "params": {"seed": 5}}},
        {"type": "resume"},
    ]
    replaces = {"name": "replace", "params": {"find": "x", "replacement": "XX"}}
    body = HI | {"mods": [replaces], "max_tokens": 400, "ignore_eos": True, "stream": True}
    body |= {"model": "tiny", "stream_options": {"include_retractions": True}}
    url = "/v1/chat/completions"

    async def run():
        from asgi_calls import Call

        call = Call(server.client.app, "POST", url, body | {"trace": True})
        await call.until(lambda call: b"content" in call.raw)
        name = call.events[0]["id"]
        sent = []
        for action in actions:
            acted = Call(server.client.app, "POST", f"{url}/{name}/actions", action)
            sent.append((await acted.end()).json)
        await call.end()
        return sent

    sent = server.client.portal.call(run)

    assert [each.get("type") for each in sent] == [action["type"] for action in actions], sent
    time.sleep(0.1)
    (trace,) = [trace for trace in server.traces() if trace.id not in known]
    assert sum(event.command is not None for event in trace.events) == 4
    result = replay(trace, server.runtime)
    assert result.is_same, str(result)
    assert sum(event.command is not None for event in result.trace.events) == 4
