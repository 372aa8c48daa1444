"""OutputStream: which logits a request still needs, and how it ends."""

import pytest
from concordance_inference.engine.output.output_stream import OutputStream
from concordance_inference.generation import (
    Completed,
    Failed,
    ReportsDelta,
    Started,
    TextDelta,
    TokenLogprobs,
)
from concordance_sdk.host.request_state import RequestState
from concordance_shared import EngineError, FinishReason, ModReport
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
    assert (updates[-1].text, updates[-1].stopped_by) == ("x", "yz")


def test_the_stop_token_that_ended_the_completion_is_named():
    for stop_token_ids, stopped_by in (((122,), 122), ((), None)):
        state, output, updates = stream_of(stop_token_ids=stop_token_ids)
        state.append(b"xyz", forced=True)
        output.conclude()

        assert updates[-1].stopped_by == stopped_by


def report(n):
    return ModReport(mod="m", step=n, data={"n": n})


def kinds(updates):
    return [type(update) for update in updates]


def test_reports_are_sent_once_and_after_the_text_that_was_released_before():
    state, output, updates = stream_of(stream=True)
    state.reports.add(report(0))
    output.report()
    assert updates == []  # until the first token, an error has an HTTP status of its own
    state.append(b"x", forced=True)
    state.num_released = 1
    output.follow()
    output.report()
    state.append(b"y", forced=True)
    state.finish(FinishReason.STOP)
    state.reports.add(report(1))
    output.conclude()

    assert kinds(updates) == [Started, TextDelta, ReportsDelta, TextDelta, ReportsDelta, Completed]
    assert updates[2].reports == (report(0),)
    assert updates[4].reports == (report(1),)
    assert updates[-1].reports == (report(0), report(1))


def test_reports_are_in_the_last_update_only_without_a_stream():
    state, output, updates = stream_of()
    state.append(b"x", forced=True)
    state.reports.add(report(0))
    output.report()
    state.finish(FinishReason.STOP)
    output.conclude()

    assert kinds(updates) == [Started, Completed]
    assert updates[-1].reports == (report(0),)


def test_reports_are_sent_before_an_error_which_has_them_too():
    state, output, updates = stream_of(stream=True)
    state.append(b"x", forced=True)
    output.report()
    state.reports.add(report(0))
    state.fail(EngineError("broken"))
    output.conclude()

    assert kinds(updates) == [Started, ReportsDelta, Failed]
    assert updates[-1].error.reports == (report(0),)


def test_error_before_the_first_token_is_the_first_update():
    state, output, updates = stream_of(stream=True)
    state.reports.add(report(0))
    state.fail(EngineError("broken"))
    output.conclude()

    assert kinds(updates) == [Failed]
    assert updates[0].error.reports == (report(0),)
