"""Who gets a row, and what memory rows and what is kept of earlier ones take together."""

import random

import pytest
from concordance_inference.engine.caches import attention
from concordance_sdk import Prefilled, mod
from concordance_shared import ContextLengthError
from families import EVERY_FAMILY, FAMILIES, model_named, slow
from tiny import ask, finish, make_engine, run, submit


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Buffers grow by a few positions, as those of tiny models should."""
    monkeypatch.setattr(attention, "GROWTH", 16)


def taken(engine):
    metrics = engine.metrics()
    return metrics.kv_bytes + metrics.prefix_bytes


@pytest.mark.parametrize("family", [*FAMILIES, slow("deepseek_v41")])
def test_the_memory_for_caches_is_never_exceeded(family):
    dice = random.Random(family)
    model = model_named(family)
    one = make_engine(model, max_rows=1)
    run(one, ask("x" * 100, max_tokens=2))
    limit = 5 * max(100_000, one._admission._budget.bytes_of([200]))
    engine = make_engine(model, kv_bytes=limit, chunk=32)
    answers = []
    for _ in range(30):
        prompt = dice.randbytes(dice.randint(1, 120))
        answers.append(submit(engine, ask(prompt, max_tokens=dice.randint(1, 60))))
    most = 0
    while engine.has_work:
        engine.step()
        most = max(most, taken(engine))

    assert all(answer.ids for answer in answers)
    assert limit / 10 < most <= limit


def test_what_does_not_fit_waits_and_runs_when_there_is_room():
    engine = make_engine(kv_bytes=100_000, prefix_bytes=0)
    answers = [submit(engine, ask("x" * 60, max_tokens=50)) for _ in range(4)]
    engine.step()

    assert len(engine.rows) == 1
    finish(engine)
    assert len({answer.ids for answer in answers}) == 1


def test_what_can_never_fit_is_refused_and_others_are_not():
    engine = make_engine(kv_bytes=100_000)
    large, small = submit(engine, ask("x" * 500)), submit(engine, ask("x"))
    finish(engine)

    assert isinstance(large.error, ContextLengthError)
    assert "--kv-memory" in str(large.error)
    assert small.ids


def test_a_request_that_does_not_say_how_much_it_wants_gets_its_share():
    engine = make_engine(kv_bytes=500_000, max_rows=4)
    submit(engine, ask("x", max_tokens=None))
    engine.step()

    (row,) = engine.rows
    assert row.max_length == engine._admission._budget.length_of(1, None)
    assert 100 < row.max_length < 4096


def test_a_prompt_that_a_mod_makes_too_long_is_told_so():
    @mod(on=[Prefilled])
    def longer(event, actions):
        return actions.adjust_prefill([65] * 600)

    engine = make_engine(kv_bytes=100_000)
    error = run(engine, ask("x", longer)).error

    assert "600 tokens" in str(error)
    assert "--kv-memory" in str(error)


def test_requests_that_wait_for_a_prompt_go_on_when_its_reader_leaves():
    engine = make_engine(chunk=8)
    reader = ask("x" * 200)
    submit(engine, reader)
    waiting = submit(engine, ask("x" * 200 + "?", max_tokens=5))
    for _ in range(3):
        engine.step()
    assert len(engine.rows) == 1

    engine.cancel(reader.request_id)
    finish(engine)
    assert len(waiting.ids) == 5
    assert waiting.end.cached_tokens > 0


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
