"""OutputStream: which logits a request still needs, and how it ends."""

import pytest
from concordance_inference.engine.output.output_stream import OutputStream
from concordance_inference.generation import Completed, Failed, TokenLogprobs
from concordance_sdk.host.request_state import RequestState
from concordance_shared import EngineError, FinishReason
from tiny import TRAITS, ask


def stream_of(**options):
    request = ask("abc", **options)
    state = RequestState("r", request.prompt_ids, max_tokens=20)
    updates = []
    return state, OutputStream(request, state, TRAITS.new_decoder, updates.append), updates


def add_logprobs(state, output, index):
    token_id = state.completion_ids[index]
    output.take_logprobs(index, TokenLogprobs(token_id=token_id, logprob=-1.0, top=()))


def test_only_logits_of_the_next_position_are_needed_without_logprobs():
    state, output, _ = stream_of()
    state.append(b"xyz", forced=True)

    assert output.logits_needed_from() == 6
    assert not output.lacks_logprobs


def test_logits_of_forced_tokens_are_needed_for_their_logprobs():
    state, output, _ = stream_of(top_logprobs=0)
    state.append(b"a", forced=False)
    add_logprobs(state, output, 0)
    state.append(b"xyz", forced=True)

    assert output.logits_needed_from() == 4
    add_logprobs(state, output, 1)
    assert output.logits_needed_from() == 5


@pytest.mark.parametrize(
    ("reason", "lacks"),
    [(FinishReason.STOP, True), (FinishReason.LENGTH, True), (FinishReason.CANCELLED, False)],
)
def test_logprobs_are_needed_after_a_regular_end_only(reason, lacks):
    state, output, _ = stream_of(top_logprobs=0)
    state.append(b"xyz", forced=True)
    state.finish(reason)

    assert output.lacks_logprobs == lacks


def test_no_logits_are_needed_after_an_error():
    state, output, updates = stream_of(top_logprobs=0)
    state.append(b"xyz", forced=True)
    state.fail(EngineError("broken"))

    assert not output.lacks_logprobs
    output.conclude()
    assert [type(update) for update in updates] == [Failed]


def test_stop_string_ends_the_request():
    state, output, updates = stream_of(stop=("yz",))
    state.append(b"xyz!", forced=True)
    output.follow()
    output.conclude()

    assert state.finish_reason is FinishReason.STOP
    assert isinstance(updates[-1], Completed)
    assert updates[-1].text == "x"
