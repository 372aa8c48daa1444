"""Laws of traces: they change nothing, and they say what happened."""

import pytest
from concordance_inference.control import Act, Pause, Resume
from concordance_inference.generation import Failed, SamplingParams
from concordance_inference.traces.builder import TraceBuilder
from concordance_inference.traces.recorder import Kind, TraceRecorder
from concordance_inference.traces.schema import Trace
from concordance_sdk import AdjustedLogits, Backtrack, ForceTokens, ForwardPass, Sampled, mod
from controlled import send, step_until
from families import FAMILIES, model_named
from tiny import ask, finish, make_engine, run, submit

SEEDED = SamplingParams(seed=3)


@mod(max_backtrack=None)
class Meddler:
    """Bans a token, takes back two tokens once, and forces others in their place."""

    def __init__(self):
        self.num_added = 0

    def forward_pass(self, event, actions):
        return AdjustedLogits(ban=[1, 2, 3])

    def sampled(self, event, actions):
        if event.step == 6:
            return ForceTokens([70, 71, 72])
        return None

    def added(self, event, actions):
        self.num_added += 1
        return Backtrack(2, [65, 66]) if self.num_added == 4 else None


def built(recorder, *, records=None):
    builder = TraceBuilder(Trace(id="r", prompt_ids=[], level=recorder.level), chr)
    builder.apply(recorder.take() if records is None else records)
    return builder.trace


def traced(engine, *args, **fields):
    """The answers and the trace of a request."""
    recorder = TraceRecorder()
    answers = run(engine, ask(*args, recorder=recorder, **fields))
    return answers, built(recorder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mods", [(), (Meddler,)])
def test_a_traced_request_has_the_tokens_of_an_untraced_one(family, mods):
    engine = make_engine(model_named(family))
    plain = run(engine, ask("Hello", *mods, sampling=SEEDED))

    answers, trace = traced(engine, "Hello", *mods, sampling=SEEDED)

    assert answers.ids == plain.ids
    assert tuple(trace.completion_ids) == plain.ids


def test_the_kept_tokens_of_a_trace_are_the_completion():
    answers, trace = traced(make_engine(), "Hello", Meddler, max_tokens=20)

    kept = [token.token_id for token in trace.tokens if token.status == "kept"]
    assert sorted(kept) == sorted(answers.ids)
    assert [kept.count(i) for i in answers.ids] == [answers.ids.count(i) for i in answers.ids]


def test_replaying_the_edits_of_a_trace_gives_the_completion():
    recorder = TraceRecorder()
    answers = run(make_engine(), ask("Hello", Meddler, max_tokens=20, recorder=recorder))

    ids = []
    for kind, *fields in recorder.take():
        if kind is Kind.EDIT:
            kept, added, *_ = fields
            ids = [*ids[:kept], *added]

    assert tuple(ids) == answers.ids


def test_a_forced_and_a_backtracked_token_name_the_mod_and_its_event():
    _, trace = traced(make_engine(), "Hello", Meddler, max_tokens=20)

    removed = [token for token in trace.tokens if token.status == "backtracked"]
    forced = [token for token in trace.tokens if token.origin == "forced"]
    assert [token.removed_by for token in removed] == ["meddler", "meddler"]
    assert {trace.events[token.removed_at].action for token in removed} == {"Backtrack"}
    assert [token.token_id for token in forced] == [65, 66, 70, 71, 72]
    assert {trace.events[token.event].action for token in forced} == {"Backtrack", "ForceTokens"}


def test_a_sampled_token_that_a_mod_replaces_is_in_the_trace():
    _, trace = traced(make_engine(), "Hello", Meddler, max_tokens=20)

    (replaced,) = [token for token in trace.tokens if token.status == "replaced"]
    assert (replaced.position, replaced.removed_by) == (6, "meddler")
    assert trace.events[replaced.removed_at].event == "Sampled"


def test_a_sampled_token_has_probabilities_before_and_after_adjustments():
    _, trace = traced(make_engine(), "Hello", Meddler, max_tokens=5)

    first = trace.tokens[0]
    assert first.allowed == 254  # of 257, without the three that are banned
    assert first.adjusted_logprob > first.logprob
    assert first.entropy > 0
    assert first.alternatives[0].token_id == first.token_id  # greedy
    assert first.alternatives[0].logprob == pytest.approx(first.logprob)


@mod
class Listener:
    """Reads logits, and changes nothing."""

    def forward_pass(self, event, actions):
        return AdjustedLogits(bias={}) if event.step == 1 else None


def test_a_mod_that_only_listens_restricts_no_position():
    _, trace = traced(make_engine(), "Hello", Listener, max_tokens=4)

    assert [token.allowed for token in trace.tokens] == [None] * 4
    assert trace.tokens[0].adjusted_logprob == pytest.approx(trace.tokens[0].logprob, abs=1e-6)


@mod
class Digits:
    """Allows digits only."""

    def forward_pass(self, event, actions):
        return AdjustedLogits(allow=range(48, 58))


def test_the_most_probable_allowed_tokens_are_among_the_alternatives():
    _, trace = traced(make_engine(), "Hello", Digits, max_tokens=4)

    for token in trace.tokens:
        legal = [each for each in token.alternatives if each.adjusted_logprob is not None]
        assert token.allowed == 10
        assert len(legal) >= 5
        assert {each.token_id for each in legal} <= set(range(48, 58))
        assert all(each.logprob is not None for each in legal)


def test_forced_tokens_have_the_logprobs_that_the_request_asks_for():
    answers, trace = traced(make_engine(), "Hello", Meddler, max_tokens=20, top_logprobs=3)

    logprobs = {entry.token_id: entry.logprob for entry in answers.end.logprobs}
    forced = [each for each in trace.tokens if (each.origin, each.status) == ("forced", "kept")]
    assert len(forced) == 5
    for token in forced:
        assert token.logprob == pytest.approx(logprobs[token.token_id])
        assert len(token.alternatives) == 3


def test_the_probability_before_adjustments_is_the_reported_logprob():
    answers, trace = traced(make_engine(), "Hello", sampling=SEEDED, top_logprobs=5)

    assert [token.logprob for token in trace.tokens] == pytest.approx(
        [entry.logprob for entry in answers.end.logprobs], abs=1e-5
    )
    for token, entry in zip(trace.tokens, answers.end.logprobs, strict=True):
        assert [each.token_id for each in token.alternatives] == [i for i, _ in entry.top]
        assert token.adjusted_logprob == token.logprob


def test_a_trace_in_a_batch_is_that_of_the_request_alone():
    engine = make_engine(max_rows=4)
    _, alone = traced(engine, "Hello", Meddler, max_tokens=15, sampling=SEEDED)
    recorder = TraceRecorder()
    asked = ask("Hello", Meddler, max_tokens=15, sampling=SEEDED, recorder=recorder)
    others = [ask("Other", max_tokens=25), ask("Bye", Meddler, recorder=TraceRecorder())]
    for request in (others[0], asked, others[1]):
        submit(engine, request)
    finish(engine)

    batched = built(recorder)

    assert len(batched.tokens) == len(alone.tokens)
    for one, other in zip(alone.tokens, batched.tokens, strict=True):
        assert (one.token_id, one.origin, one.status) == (
            other.token_id,
            other.origin,
            other.status,
        )
        assert (one.mod, one.removed_by, one.allowed) == (
            other.mod,
            other.removed_by,
            other.allowed,
        )
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert one.entropy == pytest.approx(other.entropy, abs=1e-3)
    names = [(event.mod, event.event, event.action, event.details) for event in alone.events]
    assert names == [
        (event.mod, event.event, event.action, event.details) for event in batched.events
    ]


def test_passes_that_a_forced_span_saves_and_a_backtrack_discards_are_counted():
    _, trace = traced(make_engine(), "Hello", Meddler, max_tokens=20)

    assert trace.passes == len(trace.steps)
    assert trace.passes_saved == sum(step.saved for step in trace.steps) > 0
    assert trace.passes_wasted == sum(step.is_wasted for step in trace.steps)


def test_a_mod_that_raises_is_in_the_trace_with_its_error():
    @mod
    def broken(event, actions):
        raise ValueError("no")

    answers, trace = traced(make_engine(), "Hello", broken)

    assert isinstance(answers.end, Failed)
    assert trace.status == "failed"
    assert "no" in trace.events[0].error
    assert "no" in trace.error


def test_level_requests_records_the_actions_and_no_tokens():
    recorder = TraceRecorder("requests")
    answers = run(make_engine(), ask("Hello", Meddler, max_tokens=20, recorder=recorder))

    trace = built(recorder)

    assert (trace.tokens, trace.steps) == ([], [])
    assert [event.action for event in trace.events] == ["Backtrack", "ForceTokens"]
    assert tuple(trace.completion_ids) == answers.ids
    assert trace.mods[0].calls > 0


def test_a_recorder_without_a_reader_is_bounded_and_keeps_a_prefix():
    recorder = TraceRecorder(max_waiting=20)
    answers = run(make_engine(), ask("Hello", Meddler, max_tokens=40, recorder=recorder))

    records = recorder.take()
    trace = built(recorder, records=records)

    assert recorder.num_dropped > 20
    assert len(records) <= 21  # and the end
    assert tuple(trace.completion_ids) == answers.ids
    assert trace.tokens


def test_an_untraced_request_has_no_tracer():
    engine = make_engine()
    submit(engine, ask("Hello"))
    engine.step()

    (row,) = engine.rows

    assert row.tracer is None
    assert row.state.tracer is None


def test_actions_by_hand_are_in_the_trace_as_such():
    engine, recorder = make_engine(), TraceRecorder()
    request = ask("Hello", max_tokens=12, recorder=recorder)
    answers = submit(engine, request)
    step_until(engine, request, 4)

    send(engine, request, Act(action=Backtrack(2, [65, 66])))
    send(engine, request, Pause())
    send(engine, request, Resume())
    finish(engine)

    trace = built(recorder)
    by_hand = [event for event in trace.events if event.by_hand]
    commands = [event.action for event in by_hand if event.event == "command"]
    assert commands == ["backtrack", "pause", "resume"]
    (action,) = [event for event in by_hand if event.event != "command"]
    assert (action.mod, action.action) == ("@control", "Backtrack")
    assert (action.forced_tokens, action.backtracked_tokens) == (2, 2)
    forced = [token for token in trace.tokens if token.origin == "forced"]
    removed = [token for token in trace.tokens if token.status == "backtracked"]
    assert [(token.mod, token.event) for token in forced] == [("@control", action.index)] * 2
    assert [token.removed_at for token in removed] == [action.index] * 2
    assert tuple(trace.completion_ids) == answers.ids


def forcing(event_type, n=2):
    """A mod that forces tokens once, at an event of position 3."""

    @mod(name="forcer", on=[event_type], max_backtrack=None)
    def forcer(event, actions):
        return ForceTokens([65] * n) if event.step == 3 else None

    return forcer


def test_a_token_that_is_forced_in_place_of_sampling_has_its_probabilities():
    answers, trace = traced(
        make_engine(), "Hello", forcing(ForwardPass), max_tokens=8, top_logprobs=5
    )
    _, bare = traced(make_engine(), "Hello", forcing(ForwardPass), max_tokens=8)

    forced = [token for token in bare.tokens if token.origin == "forced"]
    assert [token.position for token in forced] == [3, 4]
    assert forced[0].logprob == pytest.approx(answers.end.logprobs[3].logprob, abs=1e-4)
    assert [each.token_id for each in forced[0].alternatives] == [
        token_id for token_id, _ in answers.end.logprobs[3].top
    ]
    assert forced[1].logprob is None  # its logits are not computed
    assert trace.completion_ids == bare.completion_ids


def test_a_token_that_replaces_a_sampled_one_has_the_alternatives_of_its_position():
    _, trace = traced(make_engine(), "Hello", forcing(Sampled), max_tokens=8)

    replaced, forced = trace.tokens[3:5]
    assert (replaced.status, forced.origin, forced.position) == ("replaced", "forced", 3)
    assert forced.alternatives == replaced.alternatives
    assert forced.entropy == replaced.entropy


def test_logits_before_a_backtrack_are_not_those_of_the_tokens_after_it():
    @mod(name="back", max_backtrack=None)
    class Back:
        def __init__(self):
            self.left = 1

        def forward_pass(self, event, actions):
            if event.step == 3 and self.left:
                self.left = 0
                return Backtrack(1, [65, 66])

    _, trace = traced(make_engine(), "Hello", Back, max_tokens=8)

    assert [token.logprob for token in trace.tokens if token.origin == "forced"] == [None, None]
