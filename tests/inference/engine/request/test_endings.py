"""Which tokens end a completion: `stop_token_ids`, `ignore_eos` and `min_tokens`."""

import pytest
from concordance_inference.engine.request.endings import ending_ids
from concordance_inference.generation import SamplingParams, TextDelta
from concordance_sdk import Added, FinishReason, ForwardPass, mod
from concordance_shared import InvalidActionError
from tiny import EOS, ask, make_engine, run

#: Always samples the end-of-sequence token, unless it is banned.
ENDS = SamplingParams(temperature=0.0, logit_bias={EOS: 100.0})


@mod
def only_the_end(event, actions):
    if isinstance(event, ForwardPass):
        return actions.adjust_logits(allow=[EOS])


@mod
def ends_at_once(event, actions):
    if isinstance(event, Added) and event.step == 0:
        return actions.force_tokens([EOS])


def plain(**fields):
    """The tokens that the model samples."""
    return run(make_engine(), ask(max_tokens=12, **fields)).ids


def test_ignore_eos_leaves_only_the_stop_tokens_of_the_request():
    assert ending_ids(ask(stop_token_ids=(7,)), {EOS}) == {7, EOS}
    assert ending_ids(ask(stop_token_ids=(7,), ignore_eos=True), {EOS}) == {7}


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_token_ends_the_completion_and_has_no_text(stream):
    ids = plain()
    last = ids[4]
    answers = run(make_engine(), ask(stop_token_ids=(last,), stream=stream))

    assert answers.ids == ids[: ids.index(last) + 1]
    assert answers.end.finish_reason == FinishReason.STOP
    assert answers.end.text == bytes(answers.ids[:-1]).decode(errors="replace")
    assert not stream or answers.shown == answers.end.text


def test_a_stop_token_ends_a_span_that_a_mod_forces():
    @mod
    def forces(event, actions):
        if isinstance(event, Added) and event.step == 0:
            return actions.force_tokens([1, 2, 3])

    answers = run(make_engine(), ask("Hello", forces, stop_token_ids=(2,)))

    assert answers.ids[-2:] == (1, 2)
    assert answers.end.finish_reason == FinishReason.STOP


def test_ignore_eos_continues_after_the_end_of_sequence_to_max_tokens():
    engine = make_engine()
    ended, ignored = run(
        engine, ask(sampling=ENDS, max_tokens=5), ask(sampling=ENDS, max_tokens=5, ignore_eos=True)
    )

    assert ended.ids == (EOS,)
    assert ignored.ids == (EOS,) * 5
    assert ignored.end.finish_reason == FinishReason.LENGTH
    assert ignored.end.text == ""


@pytest.mark.parametrize("stream", [False, True])
def test_an_end_of_sequence_that_a_mod_forces_ends_a_completion_with_ignore_eos(stream):
    @mod
    def stops(event, actions):
        if isinstance(event, Added) and event.step == 2:
            return actions.stop()

    fields = {"sampling": ENDS, "max_tokens": 9, "ignore_eos": True, "stream": stream}
    end = run(make_engine(), ask("Hello", stops, **fields)).end

    assert end.token_ids == (EOS,) * 4  # three were sampled
    assert end.forced_by == (None, None, None, "stops")
    assert (end.finish_reason, end.stopped_by) == (FinishReason.STOP, None)


def test_a_mod_that_answers_its_own_end_again_ends_a_completion_with_ignore_eos_once():
    @mod
    def stops(event, actions):
        if isinstance(event, Added):
            return actions.stop()

    assert run(make_engine(), ask("Hello", stops, ignore_eos=True)).ids[1:] == (EOS,)


def test_min_tokens_bans_ends_up_to_that_length_in_a_batch():
    engine = make_engine()
    requests = [ask(sampling=ENDS, max_tokens=9, min_tokens=n) for n in (0, 1, 4, 9)]
    answers = run(engine, *requests, ask(sampling=ENDS, max_tokens=9))

    assert [len(each.ids) for each in answers] == [1, 2, 5, 9, 1]
    assert [EOS in each.ids[:-1] for each in answers] == [False] * 5
    assert answers[3].end.finish_reason == FinishReason.LENGTH


def test_min_tokens_bans_stop_tokens_and_delays_stop_strings():
    ids = plain()
    stop = chr(ids[1]) if ids[1] < 128 else None
    at_once = run(make_engine(), ask(stop_token_ids=(ids[2],), min_tokens=6))

    assert ids[2] not in at_once.ids[:6]
    for min_tokens in range(4):
        with_stop = run(make_engine(), ask(stop=(stop or "x",), min_tokens=min_tokens))
        begins = [i for i, token_id in enumerate(ids) if stop and token_id == ord(stop)]
        first = next((i for i in begins if i >= min_tokens), None)
        assert with_stop.ids == ids[: None if first is None else first + 1]


def test_a_mod_may_end_the_completion_before_min_tokens():
    answers = run(make_engine(), ask("Hello", ends_at_once, min_tokens=8))

    assert len(answers.ids) == 2
    assert answers.end.finish_reason == FinishReason.STOP


def test_a_mod_that_allows_the_end_only_is_refused_before_min_tokens():
    answers = run(make_engine(), ask("Hello", only_the_end, min_tokens=8))

    assert isinstance(answers.error, InvalidActionError)
    assert "min_tokens=8 bans those that end it" in answers.error.message


def test_a_stream_shows_no_text_of_a_stop_token_over_which_a_mod_backtracks():
    stopped = plain()[3]

    @mod(max_backtrack=1)
    def replaces(event, actions):
        if isinstance(event, Added) and event.added_tokens[-1] == stopped:
            return actions.backtrack(1, [65])

    answers = run(make_engine(), ask("Hello", replaces, stop_token_ids=(stopped,), stream=True))

    assert stopped not in answers.ids
    assert answers.shown == answers.end.text
    assert any(isinstance(update, TextDelta) for update in answers.updates)


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_a_script_before_its_later_steps_and_finally_reports(stream):
    @mod
    def steps(run):
        reached = 1
        try:
            yield run.generate(tokens=3, bias={97: 100.0})
            reached = 2
            yield run.force("b")
        finally:
            run.report(reached=reached)

    request = ask("Hi", steps, stop=("aa",), max_tokens=9, stream=stream)
    end = run(make_engine(), request).end

    assert (end.text, end.finish_reason) == ("", FinishReason.STOP)
    assert [report.data for report in end.reports] == [{"reached": 1}]
