"""Engine: which tokens each step processes, what mods see, what clients receive, and errors."""

import math
import threading

import mlx.core as mx
import msgspec
import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.generation import (
    Completed,
    Failed,
    SamplingParams,
    Started,
    TextDelta,
    TokensDelta,
)
from concordance_sdk import Added, Finished, FinishReason, ForwardPass, Prefilled, Sampled, mod
from concordance_shared import (
    AdjustedLogits,
    EngineError,
    ForceTokens,
    InvalidActionError,
    ModRaisedError,
    NumericalError,
)
from families import VOCAB, build_model, model_named
from tiny import (
    EOS,
    TRAITS,
    ask,
    finish,
    fresh_logits,
    make_engine,
    run,
    runner_of,
    submit,
    token_bytes,
)


@pytest.fixture(name="reads")
def _reads(monkeypatch):
    """Per step, what the passes process: (row, token ids; None for the pending token)."""
    seen = []
    plain = ModelRunner.forward

    def forward(self, plan, sampled):
        seen.append([(read.row, read.token_ids) for pass_ in plan.passes for read in pass_.reads])
        return plain(self, plan, sampled)

    monkeypatch.setattr(ModelRunner, "forward", forward)
    return seen


def only_row(reads):
    return [ids if ids is None else bytes(ids) for step in reads for _, ids in step]


# Tokens processed


def test_prompt_is_prefilled_then_each_token_processed_before_it_is_seen(reads):
    run(make_engine(), ask("Hello", max_tokens=4))

    assert only_row(reads) == [b"Hello", None, None, None]


def test_last_token_of_the_budget_is_not_processed(reads):
    run(make_engine(), ask("Hello", max_tokens=1))

    assert only_row(reads) == [b"Hello"]


def test_forced_tokens_are_processed_in_one_pass(reads):
    @mod(on=[ForwardPass])
    def force(event, actions):
        if event.step == 0:
            return actions.force_tokens(b"and so on")

    run(make_engine(), ask("Hello", force, max_tokens=10))

    assert only_row(reads) == [b"Hello", b"and so on"]


def test_after_backtrack_only_the_changed_tail_is_processed(reads):
    fixes = [1]

    @mod(on=[Added])
    def fix(event, actions):
        if event.step == 5 and fixes:
            fixes.pop()
            return actions.backtrack(4, b"XYZ")

    run(make_engine(), ask("Hello", fix, max_tokens=8))

    # Six tokens were sampled, and the pass over the sixth was launched, when the mod backtracked
    # four. Speculation is then suspended.
    assert [ids and len(ids) for ids in only_row(reads)] == [5, *[None] * 6, 3, 1, 1]
    assert only_row(reads)[7] == b"XYZ"


def test_backtrack_to_a_recent_position_needs_no_pass(reads):
    left = [1]

    @mod(on=[Added])
    def redo(event, actions):
        if event.step == 3 and left:
            left.pop()
            return actions.backtrack(2)

    plain = run(make_engine(), ask("Hello", max_tokens=5))
    reads.clear()
    answers = run(make_engine(), ask("Hello", redo, max_tokens=5))

    assert answers.ids == plain.ids
    assert [ids and len(ids) for ids in only_row(reads)] == [5, *[None] * 4, 1, 1]


def test_remembered_logits_are_not_used_after_other_tokens(reads):
    """Remembered logits are valid for the prefix they follow, and for no other."""
    model = model_named("llama")
    moves = [("back", 3, b"??"), ("back", 1, None)]

    @mod(on=[Added])
    def branch(event, actions):
        length = event.step + len(event.added_tokens)
        if moves and length in (4, 3):
            _, n, tokens = moves.pop(0)
            return actions.backtrack(n, tokens)

    answers = run(make_engine(model), ask("Hello", branch, max_tokens=6))
    ids = list(b"Hello") + list(answers.ids[:2])
    assert bytes(answers.ids[1:2]) == b"?"
    for token_id in answers.ids[2:]:
        assert int(mx.argmax(fresh_logits(model, ids)).item()) == token_id
        ids.append(token_id)


def test_speculation_backs_off_after_a_wasted_pass(reads):
    left = [1]

    @mod(on=[Sampled])
    def once(event, actions):
        if left:
            left.pop()
            return actions.force_tokens([65])

    run(make_engine(), ask("Hello", once, max_tokens=60))
    ahead = [ids is None for ids in only_row(reads)]

    assert ahead[:3] == [False, True, False]
    assert ahead[3:33] == [False] * 30
    assert all(ahead[36:])


def test_forcing_the_sampled_token_wastes_no_pass(reads):
    @mod(on=[Sampled])
    def same(event, actions):
        return actions.force_tokens([event.sampled_token])

    run(make_engine(), ask("Hello", same, max_tokens=4))

    assert only_row(reads) == [b"Hello", None, None, None]


def test_rows_share_their_passes(reads):
    run(make_engine(), *(ask("Hello", max_tokens=5) for _ in range(4)))

    assert [len(step) for step in reads] == [4] * 5


def test_backtrack_of_one_row_does_not_waste_the_pass_of_others(reads):
    @mod(on=[Added])
    def fix(event, actions):
        if event.step == 1 and not event.forced:
            return actions.backtrack(1, b"XY")

    run(make_engine(), ask("Hello", max_tokens=8), ask("Hello", fix, max_tokens=8))

    assert [[len(ids or (0,)) for _, ids in step] for step in reads[2:5]] == [
        [1, 1],
        [1, 2],
        [1, 1],
    ]


def test_long_forced_span_is_processed_in_chunks_beside_decoding_rows(reads):
    @mod(on=[ForwardPass])
    def force(event, actions):
        return actions.force_tokens(b"x" * 100) if event.step == 0 else None

    run(make_engine(), ask("Hello", max_tokens=40), ask("Hello", force, max_tokens=110))
    spans = [dict(step) for step in reads if len(step) == 2]

    assert all(len(step[1] or (0,)) <= 16 for step in spans)
    assert [step[0] for step in spans[1:]] == [None] * (len(spans) - 1)
    assert b"".join(bytes(step[1]) for step in spans[1:] if step[1]).startswith(b"x" * 100)


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


def test_replaced_prompt_is_prefilled(reads):
    @mod(on=[Prefilled])
    def swap(event, actions):
        return actions.adjust_prefill(b"Other", max_steps=3)

    answers = run(make_engine(), ask("Hello", swap, max_tokens=9))

    assert only_row(reads)[0] == b"Other"
    assert (answers.end.prompt_tokens, len(answers.ids)) == (5, 3)


def test_replaced_prompt_without_room_for_a_completion_is_a_mod_error():
    @mod(on=[Prefilled])
    def flood(event, actions):
        return actions.adjust_prefill(b"x" * 4096)

    assert "no room" in str(run(make_engine(), ask("Hello", flood)).error)


def test_output_forced_at_prefilled_needs_no_pass(reads):
    @mod(on=[Prefilled])
    def say(event, actions):
        return actions.force_output(b"No.")

    answers = run(make_engine(), ask("Hello", say))

    assert (answers.end.text, reads) == ("No.", [])


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


# Errors


def test_nan_logits_of_the_model_end_the_request_with_an_error():
    model = build_model("llama", seed=9)
    model.lm_head.weight = mx.full(model.lm_head.weight.shape, math.nan)

    for sampling in (SamplingParams(temperature=0), SamplingParams(seed=1)):
        answers = run(make_engine(model), ask("Hello", sampling=sampling))
        assert isinstance(answers.error, NumericalError)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nan_logits_of_a_mod_on_the_device_are_a_mod_error(temperature):
    @mod(on=[ForwardPass])
    def broken(event, actions):
        if event.step == 2:
            return actions.adjust_logits(logits=mx.full((257,), math.nan))

    request = ask("Hello", broken, sampling=SamplingParams(temperature=temperature, seed=1))
    error = run(make_engine(), request).error

    assert isinstance(error, InvalidActionError)
    assert "'broken'" in str(error)
    assert "step 2" in str(error)


def test_masks_that_leave_no_token_are_a_mod_error():
    @mod(on=[ForwardPass])
    def first(event, actions):
        return actions.adjust_logits(allow=[65])

    @mod(on=[ForwardPass])
    def second(event, actions):
        return actions.adjust_logits(ban=[65])

    assert "no token" in str(run(make_engine(), ask("Hello", first, second)).error)


def test_mod_init_that_raises_ends_its_request_only():
    @mod
    class Boom:
        def __init__(self):
            raise RuntimeError("kaput")

        def added(self, event, actions): ...

    engine = make_engine()
    bad, good = run(engine, ask("Hello", Boom), ask("Hello"))

    assert isinstance(bad.error, ModRaisedError)
    assert len(good.ids) == 12


def test_finished_is_dispatched_for_every_kind_of_end():
    seen = []

    @mod(on=[Finished])
    def last(event, actions):
        seen.append(event.finish_reason)

    @mod(on=[Sampled])
    def boom(event, actions):
        raise RuntimeError

    engine = make_engine()
    run(engine, ask("Hello", last), ask("Hello", last, boom))
    leaver = ask("Hello", last)
    submit(engine, leaver)
    engine.step()
    engine.cancel(leaver.request_id)
    finish(engine)

    assert sorted(seen) == ["cancelled", "error", "length"]


def _late(values):
    """A generator, consumed after the mod has returned."""
    yield from values
    raise ValueError("kaput")


def _made_on_another_thread():
    """A row computed on the stream of another thread."""
    rows = []
    thread = threading.Thread(target=lambda: rows.append(mx.arange(VOCAB) * 2.0))
    thread.start()
    thread.join()
    return rows[0]


INVALID = {
    "a generator that raises": (Sampled, lambda: ForceTokens(_late([1]))),
    "a row of mappings": (ForwardPass, lambda: AdjustedLogits(logits=[{}] * VOCAB)),
    "a row of huge integers": (ForwardPass, lambda: AdjustedLogits(logits=[10**400] * VOCAB)),
    "a huge bias": (ForwardPass, lambda: AdjustedLogits(bias={1: 10**400})),
    "another thread's row": (
        ForwardPass,
        lambda: AdjustedLogits(logits=_made_on_another_thread()),
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_action_ends_its_request_only(name):
    event_type, answer = INVALID[name]

    @mod(on=[event_type])
    def broken(event, actions):
        return answer()

    bad, good = run(make_engine(), ask("Hello", broken), ask("Hello"))

    assert isinstance(bad.error, InvalidActionError)
    assert (bad.error.mod, bad.error.event) == ("broken", event_type.__name__)
    assert len(good.ids) == 12


def test_mod_that_raises_at_finished_ends_the_request_with_an_error():
    @mod(on=[Finished])
    def late(event, actions):
        raise RuntimeError("kaput")

    assert "kaput" in str(run(make_engine(), ask("Hello", late)).error)


def test_waiting_request_can_be_cancelled():
    engine = make_engine(max_rows=1)
    first, waiting = ask("Hello"), ask("Hello")
    answers = submit(engine, first)
    left = submit(engine, waiting)
    engine.step()
    engine.cancel(waiting.request_id)
    finish(engine)

    assert len(answers.ids) == 12
    assert isinstance(left.end, Failed)


def test_cancelling_an_unknown_request_does_nothing():
    engine = make_engine()
    engine.cancel("unknown")

    assert not engine.has_work


@pytest.mark.parametrize("kv_tokens", [256, 4096])
def test_cancelling_a_finished_request_with_missing_logprobs_ends_it_once(kv_tokens):
    """Its completion may be longer than its admitted length, and than the memory for caches."""
    ends = []

    @mod(on=[Added, Finished])
    def whole(event, actions):
        if isinstance(event, Finished):
            ends.append(event.finish_reason)
        else:
            return actions.force_output(b"a" * 300)

    per_token = runner_of(model_named("llama")).profile.footprint.per_token
    engine = make_engine(kv_bytes=kv_tokens * per_token, chunk=4, max_rows=1, prefix_bytes=0)
    request = ask("Hello", whole, max_tokens=4, top_logprobs=0)
    answers = submit(engine, request)
    engine.step()
    while not engine.rows[0].state.is_finished:
        engine.step()
    engine.cancel(request.request_id)
    engine.step()
    engine.cancel(request.request_id)

    assert not engine.has_work
    assert len(ends) == 1
    assert sum(isinstance(u, Completed | Failed) for u in answers.updates) == 1


@pytest.mark.parametrize("event_type", [Prefilled, ForwardPass, Sampled, Added])
def test_forced_output_too_long_for_its_logprobs_is_rejected(event_type):
    @mod(on=[event_type])
    def whole(event, actions):
        return actions.force_output(b"a" * 300)

    per_token = runner_of(model_named("llama")).profile.footprint.per_token
    engine = make_engine(kv_bytes=256 * per_token, max_rows=1, prefix_bytes=0)
    bad, good = run(engine, ask("Hello", whole, top_logprobs=0), ask("Hello"))

    assert "an output of 300 tokens" in str(bad.error)
    assert len(good.ids) == 12


def test_fail_all_clears_the_prefix_cache():
    engine = make_engine()
    run(engine, ask("Hello, a prompt of some length", max_tokens=3))
    submit(engine, ask("Hello"))
    engine.step()
    assert engine.metrics().prefix_bytes > 0
    engine.fail_all(EngineError("broken"))

    assert engine.metrics().prefix_bytes == 0
    assert run(engine, ask("Hello, a prompt of some length", max_tokens=3)).end.cached_tokens == 0


def test_fail_all_ends_requests_that_were_being_admitted():
    """A failure while one is admitted must not leave the others without an end."""
    decoders = iter([BytesDecoder(token_bytes)] * 2)  # of one row: the next one fails
    traits = msgspec.structs.replace(TRAITS, new_decoder=lambda: next(decoders))
    engine = make_engine(traits=traits)
    answers = [submit(engine, ask("Hello")) for _ in range(3)]
    with pytest.raises(StopIteration):
        engine.step()
    engine.fail_all(EngineError("broken"))

    assert [str(a.error) for a in answers] == ["broken"] * 3


def test_engine_accepts_requests_after_fail_all():
    engine = make_engine(max_rows=1)
    broken = [submit(engine, ask("Hello")) for _ in range(3)]
    engine.step()
    engine.fail_all(EngineError("broken"))

    assert [str(a.error) for a in broken] == ["broken"] * 3
    assert len(run(engine, ask("Hello")).ids) == 12


NAN_TOKEN = 200


def _with_nan(family):
    """A model that computes NaN for one token, as after an overflow."""
    model = build_model(family)
    rows = model.model.embed_tokens.weight
    model.model.embed_tokens.weight = mx.where(
        mx.arange(rows.shape[0])[:, None] == NAN_TOKEN, mx.nan, rows
    )
    return model


def _profiled(family, **config):
    """An engine for that model, with the profile of the model without NaN."""
    runner = ModelRunner(_with_nan(family), runner_of(model_named(family)).profile)
    return Engine(runner, TRAITS, EngineConfig(**config))


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt_oss", "deepseek_v3"])
def test_nan_in_the_kv_cache_does_not_reach_the_next_request_in_the_row(family, is_cancelled):
    engine = _profiled(family, max_rows=2, chunk=16, prefix_bytes=0)
    sampling = SamplingParams(temperature=0, logit_bias={NAN_TOKEN: -100.0})
    beside = submit(engine, ask("Hello, you", max_tokens=60, sampling=sampling))
    request = ask([NAN_TOKEN] * 30)
    broken = submit(engine, request)
    while not broken.updates:
        engine.step()
        if is_cancelled and len(engine.rows) == 2 and engine.rows[1].state.num_cached:
            engine.cancel(request.request_id)
    following = submit(engine, ask("Hi"))
    finish(engine)

    assert len(beside.ids) > 30
    assert len(following.ids) == 12


def test_nan_does_not_remain_in_the_slot_of_a_row_that_moved():
    engine = _profiled("llama", chunk=16, prefix_bytes=0, max_rows=2)
    first = submit(engine, ask("Hello", max_tokens=2))
    broken = submit(engine, ask([NAN_TOKEN] * 200))
    while len(first.updates) < 2:
        engine.step()
    others = [submit(engine, ask("Hi", max_tokens=40)), submit(engine, ask("Hello, you"))]
    finish(engine)

    assert isinstance(broken.error, NumericalError)
    assert [len(answer.ids) for answer in others] == [40, 12]


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


def test_model_with_a_hidden_lm_head_computes_all_logits():
    model = model_named("llama")
    engine = make_engine(model)
    expected = run(engine, ask("Hello")).ids

    class Wrapped:
        layers = model.layers

        def __call__(self, inputs, cache=None):
            return model(inputs, cache=cache)

        def make_cache(self):
            return model.make_cache()

    runner_engine = make_engine(Wrapped())

    assert not runner_engine._runner.head.is_selective
    assert run(runner_engine, ask("Hello")).ids == expected
