"""Engine: the events that mods see, the updates that clients receive, and batches."""

from concordance_inference.generation import (
    Completed,
    ReportsDelta,
    SamplingParams,
    Started,
    TextDelta,
    TokensDelta,
)
from concordance_sdk import Added, Finished, FinishReason, ForwardPass, Prefilled, mod
from tiny import (
    EOS,
    ask,
    make_engine,
    run,
    submit,
)

# Events


def test_forward_pass_is_dispatched_to_its_listeners_only():
    calls = []

    @mod(on=[Added])
    def listen(event, actions):
        calls.append(type(event))

    run(make_engine(), ask("Hello", listen, max_tokens=5))

    assert set(calls) == {Added}


def test_order_of_events():
    events = []

    @mod
    def listen(event, actions):
        events.append((type(event).__name__, event.step))

    run(make_engine(), ask("Hello", listen, max_tokens=2))

    assert events == [
        ("Prefilled", 0),
        *(("ForwardPass", 0), ("Sampled", 0), ("Added", 0)),
        *(("ForwardPass", 1), ("Sampled", 1), ("Added", 1)),
        ("Finished", 2),
    ]


def test_adjusted_logits_change_the_token():
    @mod(on=[ForwardPass])
    def only(event, actions):
        return actions.adjust_logits(allow=[65 + event.step])

    assert bytes(run(make_engine(), ask("Hello", only, max_tokens=3)).ids) == b"ABC"


def test_token_temp_applies_to_one_position():
    @mod(on=[ForwardPass])
    def greedy_at_even(event, actions):
        if event.step % 2 == 0:
            return actions.adjust_logits(bias={66: 1000.0}, token_temp=0)

    sampling = SamplingParams(temperature=2.0, seed=1)
    answers = run(make_engine(), ask("Hello", greedy_at_even, max_tokens=20, sampling=sampling))

    assert set(answers.ids[::2]) == {66}
    assert set(answers.ids[1::2]) != {66}


def test_replaced_prompt_without_room_for_a_completion_is_a_mod_error():
    @mod(on=[Prefilled])
    def flood(event, actions):
        return actions.adjust_prefill(b"x" * 4096)

    assert "no room" in str(run(make_engine(), ask("Hello", flood)).error)


# Updates to the client


def test_completed_reports_token_counts():
    @mod(on=[Added])
    def fix(event, actions):
        if event.step == 2 and not event.forced:
            return actions.backtrack(2, b"XYZ")

    end = run(make_engine(), ask("Hello", fix, max_tokens=6)).end

    assert (end.prompt_tokens, end.completion_tokens) == (5, 6)
    assert (end.forced_tokens, end.backtracked_tokens) == (3, 2)
    assert end.finish_reason is FinishReason.LENGTH
    assert [(action.action, action.step) for action in end.actions] == [("Backtrack", 2)]
    assert end.num_actions == 1


def test_started_is_sent_once_before_any_text():
    updates = run(make_engine(), ask("Hello", max_tokens=5, stream=True)).updates

    assert [type(u) for u in updates].count(Started) == 1
    assert type(updates[0]) is Started
    assert type(updates[-1]) is Completed


def test_no_text_is_sent_before_the_end_without_stream():
    updates = run(make_engine(), ask("Hello", max_tokens=5)).updates

    assert not any(isinstance(u, TextDelta) for u in updates)


def test_stop_string_ends_the_text_before_it():
    plain = run(make_engine(), ask("Hello", max_tokens=30)).end.text
    stop = plain[4:6]
    end = run(make_engine(), ask("Hello", max_tokens=30, stop=(stop,))).end

    assert end.text == plain[: plain.index(stop)]
    assert end.finish_reason is FinishReason.STOP


def test_end_of_sequence_token_ends_the_completion_and_has_no_text():
    @mod(on=[ForwardPass])
    def end(event, actions):
        if event.step == 3:
            return actions.adjust_logits(allow=[EOS])

    end = run(make_engine(), ask("Hello", end)).end

    assert (end.finish_reason, end.completion_tokens, end.token_ids[-1]) == ("stop", 4, EOS)
    assert len(end.text.encode("utf-8", "replace")) <= 9


def test_stream_holds_back_max_backtrack_tokens():
    @mod(on=[Added], max_backtrack=3)
    def late(event, actions):
        pass

    engine = make_engine()
    answers = submit(engine, ask(b"Hello", late, max_tokens=10, stream=True))
    shown = []
    while engine.has_work:
        engine.step()
        rows = [row.state.num_completion for row in engine.rows]
        shown.append((rows, len(answers.shown.encode("latin1", "replace"))))

    assert all(length <= max(0, rows[0] - 3) for rows, length in shown[:-2] if rows)


def test_show_tokens_sends_every_edit():
    @mod(on=[Added])
    def fix(event, actions):
        if event.step == 2 and not event.forced:
            return actions.backtrack(2, b"XY")

    answers = run(make_engine(), ask("Hello", fix, max_tokens=5, show_tokens=True))
    tokens = []
    for delta in answers.updates:
        if isinstance(delta, TokensDelta):
            tokens = [*tokens[: delta.kept], *delta.tokens]

    assert tuple(t.token_id for t in tokens) == answers.ids
    assert [t.forced for t in tokens] == [False, True, True, False, False]


# Batches


def test_at_most_max_rows_run_together():
    engine = make_engine(max_rows=3)
    answers = [submit(engine, ask("Hello", max_tokens=5)) for _ in range(8)]
    most = 0
    while engine.has_work:
        engine.step()
        most = max(most, len(engine.rows))

    assert most == 3
    assert len({a.ids for a in answers}) == 1


def test_kv_cache_is_freed_when_all_requests_have_ended():
    engine = make_engine()
    run(engine, *(ask("Hello") for _ in range(5)))
    engine.step()

    assert engine.rows == ()
    assert engine.metrics().kv_bytes == 0


def test_same_seed_gives_same_tokens_and_another_seed_others():
    def sampled(seed):
        return run(
            make_engine(), ask("Hello", max_tokens=20, sampling=SamplingParams(seed=seed))
        ).ids

    assert sampled(1) == sampled(1) != sampled(2)


def test_requests_without_a_seed_differ():
    answers = run(
        make_engine(), *(ask("Hello", max_tokens=20, sampling=SamplingParams()) for _ in range(2))
    )

    assert answers[0].ids != answers[1].ids


# Reports


@mod(on=[Prefilled, Added, Finished], max_backtrack=None)
def reports(event, actions):
    """Reports at three kinds of events, and forces a token beside a report."""
    report = actions.report(event=type(event).__name__, length=event.step)
    is_first = isinstance(event, Added) and event.step == 0
    return [report, actions.force_tokens(b"!")] if is_first else report


def reports_in(updates):
    deltas = [update for update in updates if isinstance(update, ReportsDelta)]
    return [report for delta in deltas for report in delta.reports]


def test_reports_are_equal_alone_in_a_batch_and_in_a_stream():
    alone = run(make_engine(), ask("Hello", reports, max_tokens=4)).end
    requests = [ask("Hello", reports, max_tokens=4, stream=i > 1) for i in range(4)]
    answers = run(make_engine(), *requests)

    assert [(report.data["event"], report.step) for report in alone.reports] == [
        ("Prefilled", 0),
        *(("Added", 0), ("Added", 1), ("Added", 2), ("Added", 3)),
        ("Finished", 4),
    ]
    for i, answer in enumerate(answers):
        assert answer.end.reports == alone.reports
        assert reports_in(answer.updates) == list(alone.reports if i > 1 else ())


def test_report_at_finished_is_sent_between_the_text_and_the_end():
    updates = run(make_engine(), ask("Hello", reports, max_tokens=4, stream=True)).updates

    assert [type(update) for update in updates[-3:]] == [TextDelta, ReportsDelta, Completed]
    assert updates[-2].reports[-1].data == {"event": "Finished", "length": 4}


def test_cancelled_request_reports_without_a_client():
    engine, request = make_engine(), ask("Hello", reports, max_tokens=40)
    answer = submit(engine, request)
    for _ in range(3):
        engine.step()
    engine.cancel(request.request_id)

    assert answer.end.finish_reason is FinishReason.CANCELLED
    assert answer.end.reports[-1].data["event"] == "Finished"


def test_report_that_is_not_json_ends_its_own_request_only():
    @mod(on=[Added])
    def bad(event, actions):
        return actions.report(seen={1})

    requests = [ask("Hello", each, max_tokens=3) for each in (bad, reports)]
    failed, other = run(make_engine(), *requests)

    assert "its 'seen' is not JSON" in failed.error.message
    assert len(other.ids) == 3
