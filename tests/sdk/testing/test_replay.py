"""Traces as regression tests: recorded events, and what mods return for them."""

import copy
import json

import numpy as np
import pytest
from concordance_sdk import Added, ForwardPass, Sampled, mod, use
from concordance_sdk.builtin import StopAt
from concordance_sdk.testing import ByteTokenizer, UnrecordedError, replay

ALTERNATIVES = [
    {"token_id": ord(letter), "text": letter, "logprob": logprob}
    for letter, logprob in (("a", -0.5), ("b", -1.5), ("c", -2.5))
]


def token(index, letter, position=None, **fields):
    position = index if position is None else position
    fields = {"alternatives": ALTERNATIVES, "entropy": 1.25, "logprob": -0.5} | fields
    known = {"index": index, "position": position, "token_id": ord(letter), "text": letter}
    return known | fields


FORCE = {"token_ids": [120, 121], "num_tokens": 2}

#: "ab" were sampled, then "xy" forced after "b", then "c" was sampled.
TRACE = {
    "id": "t1",
    "level": "tokens",
    "status": "ended",
    "finish_reason": "length",
    "prompt": "Hi",
    "prompt_ids": [72, 105],
    "source": {"messages": [{"role": "user", "content": "Hi"}]},
    "limits": {
        "max_tokens": 5,
        "vocab_size": 257,
        "context_length": 512,
        "end_ids": [256],
        "forced_end_ids": [256],
    },
    "mods": [{"name": "after", "parameters": {"letter": "b", "text": "xy"}}],
    "completion_ids": [*b"abxyc"],
    "tokens": [
        token(0, "a"),
        token(1, "b"),
        token(2, "x", origin="forced", mod="after", event=0, alternatives=[]),
        token(3, "y", origin="forced", mod="after", event=0, alternatives=[]),
        token(4, "c"),
    ],
    "events": [
        {
            "index": 0,
            "mod": "after",
            "event": "Added",
            "action": "ForceTokens",
            "position": 1,
            "draws": 2,
            "details": FORCE,
        }
    ],
}


@mod(name="after")
class After:
    """Forces a text after a letter."""

    letter: str
    text: str

    def added(self, event, actions, tokenizer):
        if tokenizer.decode(event.added_tokens[-1:]) == self.letter:
            return actions.force_tokens(tokenizer.encode(self.text))


def test_a_mod_that_acts_as_recorded_passes():
    result = replay(TRACE, After)

    assert result.token_ids == tuple(b"abxyc")
    assert (result.names, result.num_actions) == (("after",), 1)
    assert result.num_calls == 4  # a; b; xy; c
    assert replay(TRACE, After, tokenizer=ByteTokenizer()) == result


def test_mods_of_the_trace_that_are_registered_are_under_test_by_default():
    assert replay(TRACE).names == ("after",)


def test_a_trace_is_read_from_a_file(tmp_path):
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(TRACE))

    assert replay(path).num_actions == 1
    assert replay(str(path)).num_actions == 1


def test_an_action_that_is_missing_names_mod_event_and_position():
    with pytest.raises(AssertionError) as error:
        replay(TRACE, use(After, letter="q", text="xy"))

    assert str(error.value) == (
        "replay of trace t1: mod 'after' at Added, position 1, event 0 of the trace, after 'ab'\n"
        "  recorded  ForceTokens {'token_ids': [120, 121], 'num_tokens': 2}\n"
        "  returned  nothing"
    )


def test_another_action_is_shown_beside_the_recorded_one():
    tokenizer = ByteTokenizer()
    with pytest.raises(AssertionError) as error:
        replay(TRACE, use(After, letter="b", text="z"), tokenizer=tokenizer)

    assert "  returned  ForceTokens {'token_ids': [122], 'num_tokens': 1}" in str(error.value)


def test_an_action_at_another_event_says_where():
    with pytest.raises(AssertionError, match=r"returned  ForceTokens \{.*\} at Added, position 0"):
        replay(TRACE, use(After, letter="a", text="xy"))


def test_an_action_beyond_the_last_recorded_one_is_a_difference():
    trace = copy.deepcopy(TRACE)
    trace["completion_ids"], trace["events"] = [*b"ab"], []
    del trace["tokens"][2:]

    with pytest.raises(AssertionError, match="recorded  nothing more"):
        replay(trace, After, tokenizer=ByteTokenizer())


def test_a_mod_that_raises_where_it_did_not_is_a_difference():
    @mod(name="after")
    def broken(event, actions):
        raise ValueError("no")

    with pytest.raises(AssertionError, match="returned  an error: .*ValueError"):
        replay(TRACE, use(broken))


def reads(read, **changes):
    """Replay a mod that reads logits and does nothing else."""
    trace = copy.deepcopy(TRACE) | changes
    trace["mods"].append({"name": "reader"})

    @mod(name="reader", on=[ForwardPass])
    def reader(event, actions):
        if event.step == 1:
            read(event.logits)

    return replay(trace, reader)


def test_the_most_probable_tokens_can_be_read():
    seen = []
    reads(
        lambda logits: seen.extend(
            [logits.top_k(2), logits[98], logits.logprob(99), logits.entropy(), logits.margin()]
        )
    )

    assert seen == [[(97, -0.5), (98, -1.5)], -1.5, -2.5, 1.25, 1.0]


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (lambda logits: logits.top_k(4), r"top_k\(4\): the trace has the 3 most probable"),
        (lambda logits: logits[5], "the logit of token 5"),
        (lambda logits: logits[2:5], "a slice of the logits"),
        (lambda logits: logits.to_numpy(), "all logits"),
        (np.asarray, "all logits"),
    ],
)
def test_reading_more_logits_than_were_recorded_is_an_error_that_says_so(read, what):
    with pytest.raises(UnrecordedError, match=f"mod 'reader' at ForwardPass, position 1: .*{what}"):
        reads(read)


def test_logits_that_penalties_change_are_not_those_of_the_trace():
    with pytest.raises(UnrecordedError, match="penalties or a bias"):
        reads(lambda logits: logits.top_k(1), parameters={"presence_penalty": 0.5})


def test_the_log_probability_of_a_sampled_token_can_be_read():
    seen = []
    trace = copy.deepcopy(TRACE)
    trace["mods"].append({"name": "reader"})

    @mod(name="reader", on=[Sampled])
    def reader(event, actions):
        seen.append(event.logprob)

    replay(trace, reader)

    assert seen == [-0.5, -0.5, -0.5]


def test_a_text_that_the_trace_does_not_have_is_an_error_that_names_the_remedy():
    with pytest.raises(UnrecordedError, match=r"encodes 'zz'.*tokenizer=FolderTokenizer"):
        replay(TRACE, use(After, letter="b", text="zz"))


def test_the_prompt_can_be_decoded_and_the_conversation_read():
    from concordance_sdk import get_conversation

    seen = []
    trace = copy.deepcopy(TRACE)
    trace["mods"].append({"name": "reader"})

    @mod(name="reader")
    class Reader:
        def prefilled(self, event, actions, tokenizer):
            seen.append(tokenizer.decode(event.context_info.tokens))
            seen.append(get_conversation()[0].content)

    replay(trace, Reader)

    assert seen == ["Hi", "Hi"]


def test_other_mods_and_actions_by_hand_act_as_recorded():
    trace = copy.deepcopy(TRACE)
    trace["mods"] = [{"name": "elsewhere"}, {"name": "log"}]
    trace["events"][0]["mod"] = "elsewhere"
    trace["events"] += [
        {
            "index": 1,
            "mod": "@control",
            "event": "ForwardPass",
            "action": "Backtrack",
            "position": 4,
            "draws": 2,
            "by_hand": True,
            "details": {"n": 1, "token_ids": [122], "num_tokens": 1},
        }
    ]
    trace["completion_ids"] = [*b"abxzc"]
    seen = []

    @mod(name="log", on=[Added])
    def log(event, actions):
        seen.append((event.step, bytes(event.added_tokens), event.forced))

    result = replay(trace, log)

    assert result.token_ids == tuple(b"abxzc")
    assert seen == [
        (0, b"a", False),
        (1, b"bxy", True),
        (3, b"z", True),
        (4, b"c", False),
    ]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"level": "requests"}, "its level is 'requests', not 'tokens'"),
        ({"is_truncated": True}, "it is truncated"),
        ({"status": "running"}, "its request still runs"),
        ({"prompt_ids": None}, "--trace-prompts"),
        ({"limits": {}}, "of an earlier version"),
        (
            {"events": [{"index": 0, "mod": "m", "event": "command", "command": {"detach": "m"}}]},
            "a mod was added or removed by hand",
        ),
    ],
)
def test_a_trace_that_lacks_something_says_what(changes, what):
    with pytest.raises(ValueError, match=what):
        replay(TRACE | changes, After)


def test_a_mod_that_the_trace_does_not_have_is_refused():
    with pytest.raises(ValueError, match="has no mod 'stop_at'; its mods: after"):
        replay(TRACE, StopAt)
    with pytest.raises(ValueError, match="has no mod that is registered here; its mods: unknown"):
        replay(TRACE | {"mods": [{"name": "unknown"}]})
