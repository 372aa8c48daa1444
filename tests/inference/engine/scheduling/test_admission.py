"""Which requests run, within the memory that rows and prefixes share."""

import random

import mlx.core as mx
import pytest
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.scheduling.admission import compacted
from concordance_sdk import Added, Finished, FinishReason, Prefilled, mod
from concordance_shared import ContextLengthError, EngineError, InvalidRequestError
from families import EVERY_FAMILY, FAMILIES, model_named, slow
from msgspec import structs
from tiny import VOCAB, ask, finish, make_engine, run, submit


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Buffers grow by a few positions and layer by layer."""
    monkeypatch.setattr(kv_buffers, "GROWTH", 16)
    monkeypatch.setattr(kv_buffers, "resize_bytes", lambda: 1)


def taken(engine):
    metrics = engine.metrics()
    return metrics.kv_bytes + metrics.prefix_bytes


@pytest.mark.parametrize("family", [*FAMILIES, slow("deepseek_v41")])
def test_the_memory_for_caches_is_never_exceeded(family):
    dice = random.Random(family)
    model = model_named(family)
    one = make_engine(model, max_rows=1)
    run(one, ask("x" * 100, max_tokens=2))
    limit = 5 * max(100_000, one.inspect().budget.bytes_of([200]))
    engine = make_engine(model, kv_bytes=limit, chunk=32, latency_target_s=1e6)
    answers = []
    for _ in range(16 if family == "deepseek_v41" else 30):  # 16 reach its peak too
        prompt = dice.randbytes(dice.randint(1, 120))
        answers.append(submit(engine, ask(prompt, max_tokens=dice.randint(1, 60))))
    most = 0
    while engine.has_work:
        engine.step()
        most = max(most, taken(engine))

    assert all(answer.ids for answer in answers)
    assert limit / 10 < most <= limit


def test_a_request_that_does_not_fit_waits_until_there_is_room():
    engine = make_engine(kv_bytes=100_000, prefix_bytes=0)
    answers = [submit(engine, ask("x" * 60, max_tokens=50)) for _ in range(4)]
    engine.step()

    assert len(engine.rows) == 1
    finish(engine)
    assert len({answer.ids for answer in answers}) == 1


def test_a_prompt_that_can_never_fit_is_rejected_alone():
    engine = make_engine(kv_bytes=100_000)
    large, small = submit(engine, ask("x" * 500)), submit(engine, ask("x"))
    finish(engine)

    assert isinstance(large.error, ContextLengthError)
    assert "--kv-memory" in str(large.error)
    assert small.ids


def test_a_request_without_max_tokens_gets_its_share_of_memory():
    engine = make_engine(kv_bytes=500_000, max_rows=4)
    submit(engine, ask("x", max_tokens=None))
    engine.step()

    (row,) = engine.rows
    assert row.state.max_length == engine.inspect().budget.length_of(1, None)
    assert 100 < row.state.max_length < 4096


@pytest.mark.parametrize("max_tokens", [16, 0])
def test_a_prompt_that_a_mod_makes_too_long_is_rejected(max_tokens):
    @mod(on=[Prefilled])
    def longer(event, actions):
        return actions.adjust_prefill([65] * 600)

    engine = make_engine(kv_bytes=100_000)
    error = run(engine, ask("x", longer, max_tokens=max_tokens)).error

    assert "600 tokens" in str(error)
    assert "--kv-memory" in str(error)


@pytest.mark.parametrize("family", EVERY_FAMILY)
@pytest.mark.parametrize("after", [0, 1, 2, 5, 9])
def test_a_request_can_be_cancelled_in_any_state(family, after):
    model = model_named(family)
    expected = run(make_engine(model), ask("stays", max_tokens=20)).ids
    engine = make_engine(model, chunk=4, max_rows=2)
    requests = [ask("leaves" * 4, max_tokens=30, top_logprobs=1), ask("waits" * 4, max_tokens=30)]
    stays = submit(engine, ask("stays", max_tokens=20))
    left = [submit(engine, request) for request in requests]
    for _ in range(after):
        engine.step()
    for request in requests:
        engine.cancel(request.request_id)
    finish(engine)

    assert stays.ids == expected
    assert all(len(answer.updates) >= 1 for answer in left)
    assert engine.metrics().running == 0


# Requests that mods make longer than they were admitted for


def memory_for(*lengths):
    """The bytes of rows that have grown to these lengths."""
    return make_engine().inspect().budget.bytes_of(lengths)


def forced_output(num_tokens, at=1):
    @mod(on=[Added], max_backtrack=None)
    def forces(event, actions):
        if event.step == at:
            return actions.force_output([65 + i % 26 for i in range(num_tokens)])

    return forces


def lengthened_prompt(num_tokens):
    @mod(on=[Prefilled])
    def longer(event, actions):
        return actions.adjust_prefill([65 + i % 26 for i in range(num_tokens)])

    return longer


@pytest.mark.parametrize("family", ["llama", "gpt_oss", "qwen3_next"])
def test_logprobs_of_a_forced_output_beyond_the_budget_are_right_while_rows_change(family):
    model = model_named(family)
    engine = make_engine(model, chunk=32)
    request = ask("Prompt", forced_output(400), max_tokens=10, top_logprobs=1)
    answer = submit(engine, request)
    others = [submit(engine, ask("other", max_tokens=3 + i)) for i in range(6)]
    for _ in range(60):
        if not engine.has_work:
            break
        engine.step()
        if len(others) < 14:
            others.append(submit(engine, ask("x" * (1 + len(others)), max_tokens=3)))
    finish(engine)

    ids = [*request.prompt_ids, *answer.ids]
    logits = model(mx.array([ids]))[0, len(request.prompt_ids) - 1 : -1].astype(mx.float32)
    expected = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    shown = answer.end.logprobs
    assert len(shown) == len(answer.ids) == 400
    for i, entry in enumerate(shown):
        assert abs(entry.logprob - expected[i, entry.token_id].item()) < 2e-2


def test_computing_logprobs_of_forced_outputs_stays_within_the_memory_for_caches():
    engine = make_engine(kv_bytes=200_000, prefix_bytes=0, chunk=32)
    answers = [
        submit(engine, ask("Prompt", forced_output(120), max_tokens=4, top_logprobs=0))
        for _ in range(4)
    ]
    most = 0
    while engine.has_work:
        engine.step()
        most = max(most, taken(engine))

    assert most <= 200_000
    assert [len(answer.end.logprobs) for answer in answers] == [120] * 4
    first, *others = ([e.logprob for e in answer.end.logprobs] for answer in answers)
    assert all(other == pytest.approx(first, abs=1e-3) for other in others)


def test_a_forced_output_too_long_for_its_logprobs_is_an_error():
    engine = make_engine(kv_bytes=100_000)
    request = ask("Prompt", forced_output(2000), max_tokens=4, top_logprobs=0)
    answer, other = submit(engine, request), submit(engine, ask("other", max_tokens=5))
    finish(engine)

    assert isinstance(answer.error, ContextLengthError)
    assert "2000 tokens" in str(answer.error)
    assert "--kv-memory" in str(answer.error)
    assert len(other.ids) == 5
    assert len(run(engine, ask("Prompt", forced_output(2000), max_tokens=4)).ids) == 2000


def test_a_prompt_that_a_mod_lengthened_waits_until_it_fits():
    def request():
        return ask("short", lengthened_prompt(100), max_tokens=10)

    alone = run(make_engine(kv_bytes=memory_for(64, 64), prefix_bytes=0), request())
    engine = make_engine(kv_bytes=memory_for(64, 64), prefix_bytes=0)
    first = submit(engine, ask("x" * 40, max_tokens=20))
    longer = submit(engine, request())
    last = submit(engine, ask("x" * 40, max_tokens=20))
    engine.step()
    assert (len(engine.rows), engine.metrics().waiting) == (1, 2)
    finish(engine)

    assert longer.ids == alone.ids
    assert first.ids == last.ids


def test_a_lengthened_prompt_has_the_same_budget_alone_and_in_a_batch():
    def request():
        return ask("short", lengthened_prompt(100), max_tokens=4000)

    alone = run(make_engine(kv_bytes=memory_for(64, 64), prefix_bytes=0), request())
    engine = make_engine(kv_bytes=memory_for(64, 64), prefix_bytes=0)
    submit(engine, ask("x" * 40, max_tokens=20))
    longer = submit(engine, request())
    finish(engine)

    assert longer.ids == alone.ids


@pytest.mark.parametrize("steps", [1, 3, 12])
def test_a_request_that_waits_with_its_row_can_be_cancelled(steps):
    ended = []

    @mod(on=[Finished])
    def witness(event, actions):
        ended.append(event.finish_reason)

    engine = make_engine(kv_bytes=memory_for(64, 64), prefix_bytes=0)
    other = submit(engine, ask("x" * 40, max_tokens=20))
    request = ask("short", lengthened_prompt(100), witness, max_tokens=10)
    answer = submit(engine, request)
    for _ in range(steps):
        engine.step()
    engine.cancel(request.request_id)
    finish(engine)

    assert ended == [FinishReason.CANCELLED]
    assert answer.end.finish_reason is FinishReason.CANCELLED
    assert len(other.ids) == 20


# Every request ends


def test_a_prompt_without_tokens_is_rejected():
    engine = make_engine()
    empty, other = submit(engine, ask(())), submit(engine, ask("x", max_tokens=3))
    finish(engine)

    assert isinstance(empty.error, InvalidRequestError)
    assert len(other.ids) == 3


def test_a_budget_of_zero_tokens_ends_with_length():
    answer = run(make_engine(), ask("x", max_tokens=0))

    assert answer.ids == ()
    assert answer.end.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("top_logprobs", [None, 1])
def test_backtracking_by_zero_at_a_full_budget_ends_with_length(top_logprobs):
    @mod(on=[Added])
    def nothing(event, actions):
        return actions.backtrack(0)

    engine = make_engine(max_rows=2)
    requests = [ask("x", nothing, max_tokens=5, top_logprobs=top_logprobs) for _ in range(3)]
    answers = run(engine, *requests)

    assert [a.end.finish_reason for a in answers] == [FinishReason.LENGTH] * 3
    assert all(len(a.ids) == 5 for a in answers)


def test_buffers_grow_for_a_long_prompt_while_other_rows_decode():
    engine = make_engine(max_rows=2)
    stream = submit(engine, ask("x", max_tokens=100))
    engine.step()
    (row,) = engine.rows
    num_layers = len(engine._runner.cache.layers)
    long = submit(engine, ask("y" * 90, max_tokens=2))
    before = row.state.num_completion
    steps = 0
    while len(engine.rows) < 2:
        engine.step()
        steps += 1

    assert steps == num_layers
    assert row.state.num_completion - before >= num_layers - 1
    finish(engine)
    alone = make_engine(max_rows=2)
    assert [stream.ids, long.ids] == [
        run(alone, ask("x", max_tokens=100)).ids,
        run(alone, ask("y" * 90, max_tokens=2)).ids,
    ]


def test_a_request_can_be_cancelled_while_buffers_grow_for_it():
    engine = make_engine(max_rows=2)
    stream = submit(engine, ask("x", max_tokens=60))
    engine.step()
    request = ask("y" * 90, max_tokens=2)
    submit(engine, request)
    engine.step()
    assert len(engine.rows) == 1
    engine.cancel(request.request_id)
    finish(engine)

    assert stream.ids == run(make_engine(max_rows=2), ask("x", max_tokens=60)).ids


def test_a_prompt_with_a_token_that_the_model_lacks_is_rejected():
    engine = make_engine()
    request = structs.replace(ask("x"), prompt_ids=(1, VOCAB + 3, 2))
    answer = submit(engine, request)

    with pytest.raises(
        InvalidRequestError, match=rf"token id {VOCAB + 3} at position 1.* to {VOCAB - 1}"
    ):
        raise answer.error
    assert answer.error.status_code == 400


# What admission changes, and what it only looks up


@pytest.mark.parametrize("failing", ["rebuild", "restore", "prepare"])
def test_no_request_is_lost_when_admission_fails(failing, monkeypatch):
    engine = make_engine(max_rows=3)
    prompt = bytes(range(32, 122))
    run(engine, ask(prompt, max_tokens=2))
    running = submit(engine, ask("running", max_tokens=50))
    engine.step()
    queued = [submit(engine, ask(prompt, max_tokens=5)) for _ in range(4)]

    def fail(*args, **options):
        raise RuntimeError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(BatchCache, failing, fail)
        with pytest.raises(RuntimeError, match="no memory"):
            finish(engine)  # buffers may grow for some steps first
    engine.fail_all(EngineError("no memory"))

    assert [str(answer.error) for answer in (running, *queued)] == ["no memory"] * 5
    assert not engine.has_work
    assert len(run(engine, ask("x", max_tokens=5)).ids) == 5


@pytest.mark.parametrize(
    ("stays", "order"),
    [
        ([True, False, False, True, True, True], [0, 5, 4, 3]),
        ([True, True], [0, 1]),
        ([False, True], [1]),
        ([False, False], []),
    ],
)
def test_rows_that_stay_fill_gaps_from_the_end(stays, order):
    assert compacted(stays) == order
