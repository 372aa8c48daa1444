"""Both engines do the same work, and rates and times are of that work."""

from types import SimpleNamespace

import pytest
from concordance_inference.bench import drive, mlx_lm_drive
from concordance_inference.engine.engine import Engine
from mlx_lm import stream_generate


@pytest.fixture(name="_clock")
def _clock(monkeypatch):
    """A clock that advances by a second in each step of an engine."""
    now, step = [0.0], Engine.step

    def timed_step(engine):
        now[0] += 1
        step(engine)

    monkeypatch.setattr(Engine, "step", timed_step)
    monkeypatch.setattr(drive, "time", SimpleNamespace(perf_counter=lambda: now[0]))


def test_both_engines_generate_the_same_tokens_up_to_max_tokens(subject):
    prompt = subject.prompt(5)
    theirs = [
        r.token for r in stream_generate(subject.model, subject.tokenizer, prompt, max_tokens=9)
    ]
    (ours,) = drive.run(subject.engine(), drive.request(prompt, 9))

    assert ours.token_ids == tuple(theirs)
    assert ours.completion_tokens == 9


@pytest.mark.usefixtures("_clock")
def test_a_decode_rate_is_the_tokens_of_all_rows_over_the_time(subject):
    engine = subject.engine()

    for num_rows in (3, 1):
        requests = [drive.request(subject.prompt(5), 9) for _ in range(num_rows)]
        assert drive.decode_rate(engine, *requests) == num_rows  # one token a row and second
        assert not engine.has_work


@pytest.mark.usefixtures("_clock")
def test_prefill_and_forcing_take_one_pass_up_to_a_chunk(subject):
    engine = subject.engine()
    short = drive.prefill_seconds(engine, subject.prompt(20))

    assert drive.prefill_seconds(engine, subject.prompt(300)) == short + 1
    assert drive.force_seconds(engine, subject.prompt(4), subject.prompt(20)) == 2
    assert drive.force_seconds(engine, subject.prompt(4), subject.prompt(300)) == 3


@pytest.mark.usefixtures("_clock")
def test_a_backtrack_is_compared_with_usual_tokens(subject):
    cost = drive.backtrack_cost(subject.engine(), subject.prompt(10), 4)

    assert (cost.usual, cost.added) == (1, 0)


def test_a_long_context_is_rewound_after_decoding(subject):
    context = mlx_lm_drive.LongContext(subject, subject.prompt(40))
    before = context._cache[0].offset
    context.decode_rate(6)

    assert context._cache[0].offset == before == 39


def test_prompts_of_one_seed_are_equal(subject):
    assert subject.prompt(9, seed=3) == subject.prompt(9, seed=3) != subject.prompt(9, seed=4)
