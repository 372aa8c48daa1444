"""Mods that act in some messages only are not called in the others."""

import pytest
from concordance_sdk import Added, ForwardPass
from concordance_sdk.channels import Channels
from concordance_sdk.host.dispatch import ModDispatch
from concordance_sdk.host.request_state import RequestState
from concordance_sdk.testing import tag_channels
from concordance_shared import Backtrack, ForceTokens

TEXT = b"<think>hm</think>yes"
OPENED, CLOSED = len(b"<think>"), len(b"<think>hm</think>")


class Recorder:
    """A mod that acts in a channel only, and records its events."""

    max_backtrack = 0

    def __init__(self, channel=None, actions=None):
        self.name = channel or "everywhere"
        self.instances = (self,)
        self.acts_in = channel and (lambda place: place.channel == channel)
        self.seen = []
        self._actions = actions or {}

    def listens_to(self, event_type):
        return event_type in (ForwardPass, Added)

    def ask(self, event):
        tokens = bytes(event.added_tokens) if isinstance(event, Added) else b""
        self.seen.append((type(event).__name__, event.step, tokens))
        return self._actions.pop((type(event).__name__, event.step), None)


class Row(bytes):
    """Logits that are not read."""


def dispatch_of(*mods, has_channels=True, max_tokens=100):
    state = RequestState("r", [1], max_tokens=max_tokens, hold=None)
    channels = Channels(tag_channels(), state) if has_channels else None
    if channels is not None:
        state.followers.append(channels)
    return ModDispatch(state, mods, vocab_size=257, channels=channels)


def generate(dispatch, tokens=TEXT):
    """Sample tokens; return the steps at which mods wait for logits."""
    waits = []
    for token_id in tokens:
        step = dispatch.state.num_completion
        if dispatch.listens_to_logits:
            waits.append(step)
            if dispatch.forward_pass(Row(257)) is None:
                continue
        dispatch.sampled(token_id)
    return waits


def test_a_mod_is_called_in_the_messages_only_in_which_it_acts():
    final = Recorder("final")
    waits = generate(dispatch_of(final))

    assert waits == [*range(CLOSED, len(TEXT))]
    added = [(step, tokens) for name, step, tokens in final.seen if name == "Added"]
    assert added == [(step, TEXT[step : step + 1]) for step in range(CLOSED - 1, len(TEXT))]
    assert [step for name, step, _ in final.seen if name == "ForwardPass"] == waits


def test_a_mod_sleeps_again_where_its_message_ends():
    analysis = Recorder("analysis")
    waits = generate(dispatch_of(analysis))

    assert waits == [*range(OPENED, CLOSED)]
    assert analysis.seen[-1] == ("Added", CLOSED - 1, b">")


def test_a_mod_acts_everywhere_if_the_model_has_no_channels():
    final = Recorder("final")
    assert generate(dispatch_of(final, has_channels=False)) == [*range(len(TEXT))]


def test_a_mod_beside_one_that_sleeps_is_called_everywhere():
    final, every = Recorder("final"), Recorder()
    waits = generate(dispatch_of(final, every))

    assert waits == [*range(len(TEXT))]
    assert [step for name, step, _ in every.seen if name == "Added"] == waits
    assert [step for name, step, _ in final.seen if name == "ForwardPass"] == waits[CLOSED:]


@pytest.mark.parametrize("has_other", [False, True])
def test_forced_tokens_that_begin_and_end_a_message_wake_no_mod(has_other):
    final = Recorder("final")
    forces = Recorder(actions={("ForwardPass", 0): ForceTokens(tuple(b"<think>hm"))})
    analysis = Recorder("analysis")
    dispatch = dispatch_of(forces, final, *([analysis] if has_other else []))
    generate(dispatch, b" ")

    assert final.seen == []
    assert analysis.seen == ([("Added", 0, b"<think>hm")] if has_other else [])


def test_tokens_that_were_not_dispatched_to_a_mod_that_slept_are_not_dispatched_later():
    final = Recorder("final")
    generate(dispatch_of(final), b"<think>" + b"m" * 30 + b"</think>a")

    assert [tokens for name, _, tokens in final.seen if name == "Added"] == [b">", b"a"]


def test_a_mod_wakes_where_another_one_backtracks_into_its_message():
    back = Recorder(actions={("Added", CLOSED - 1): Backtrack(len(b"</think>"), None)})
    analysis = Recorder("analysis")
    dispatch = dispatch_of(back, analysis)
    generate(dispatch, TEXT[:CLOSED])
    assert dispatch.state.completion_ids == list(b"<think>hm")

    analysis.seen.clear()
    generate(dispatch, b"!")
    assert analysis.seen == [("ForwardPass", OPENED + 2, b""), ("Added", OPENED + 2, b"!")]


def test_a_mod_is_called_where_its_message_was_cut_and_ended_in_one_action():
    back = Recorder(actions={("Added", CLOSED): Backtrack(len(b"m</think>y"), tuple(b"!</think>"))})
    analysis = Recorder("analysis")
    dispatch = dispatch_of(back, analysis)
    generate(dispatch, TEXT[: CLOSED + 1])

    assert analysis.seen[-1] == ("Added", CLOSED - len(b"m</think>"), b"!</think>")


def test_a_mod_that_is_added_to_a_running_request_acts_in_its_messages_only():
    dispatch, final = dispatch_of(), Recorder("final")
    generate(dispatch, TEXT[:OPENED])
    dispatch.set_mods([final])
    dispatch.introduce([final])
    assert generate(dispatch, TEXT[OPENED:]) == [*range(CLOSED, len(TEXT))]


def test_a_mod_is_awake_where_a_completion_is_continued_in_its_message():
    final = Recorder("final")
    dispatch = dispatch_of(final)
    dispatch.state.append(tuple(TEXT), forced=False)
    dispatch.resume()
    assert dispatch.listens_to_logits
