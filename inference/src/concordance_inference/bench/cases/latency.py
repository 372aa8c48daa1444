"""Inter-token latency: in steady state, and while a long prompt is prefilled."""

import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

import mlx.core as mx

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, num_produced, request, silent
from concordance_inference.bench.figures import Effort, Figure, measured
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.plan import Pass, RowRead, StepPlan

#: Rows that decode when the long prompt is submitted.
_ROWS = 7

#: Chunks timed without other rows.
_CHUNKS = 5


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure one stream, and seven rows without and with a prompt being prefilled."""
    name = subject.name
    for what, mods in (("", ()), (", a mod on all events", (silent,))):
        times = _one_stream(subject, 2 * effort.decode_tokens, mods)
        for q in (0.5, 0.95):
            label = f"inter-token latency, one stream{what}, p{q * 100:.0f}"
            yield measured(label, name, "ms", 1e3 * quantile(times, q))
    idle, busy, chunk_s = _beside_a_prompt(subject, effort)
    idle_p50 = quantile(idle, 0.5)
    yield measured(f"inter-token latency, {_ROWS} rows, p50", name, "ms", 1e3 * idle_p50)
    yield Figure(
        name=f"inter-token latency, {_ROWS} rows, p95 during a prefill of {effort.long_prompt} "
        "tokens, against 3 x p50 and one chunk",
        model=name,
        value=1e3 * quantile(busy, 0.95),
        unit="ms",
        baseline=1e3 * (3 * idle_p50 + chunk_s),
        ratio=quantile(busy, 0.95) / (3 * idle_p50 + chunk_s),
        target=None if name == "tiny" else 1.0,
        at_most=True,
    )


def _one_stream(subject: Subject, num_tokens: int, mods: Sequence[object]) -> list[float]:
    engine = subject.engine()
    drive.submit(engine, request(subject.prompt(24), num_tokens, *mods))
    engine.step()
    (times,) = drive.token_times(engine, lambda: not engine.has_work)
    return gaps(times)


def _beside_a_prompt(subject: Subject, effort: Effort) -> tuple[list[float], list[float], float]:
    """Return the gaps between tokens before and during a prefill, and the time of one chunk."""
    engine = subject.engine()
    prompts = [subject.prompt(24, seed) for seed in range(_ROWS)]
    drive.submit(engine, *(request(prompt, 4096) for prompt in prompts))
    while len(engine.rows) < _ROWS or not all(map(num_produced, engine.rows)):
        engine.step()
    until = num_produced(engine.rows[0]) + effort.decode_tokens
    idle = drive.token_times(engine, lambda: num_produced(engine.rows[0]) >= until)
    long = subject.prompt(min(effort.long_prompt, subject.traits.context_length - 8))
    num_steps = engine.metrics().steps
    drive.submit(engine, request(long, 1))
    busy = drive.token_times(engine, lambda: _is_alone_again(engine))
    num_steps = engine.metrics().steps - num_steps
    for row in engine.rows:
        engine.cancel(row.request.request_id)
    engine.step()
    chunk_s = _chunk_seconds(subject, len(long), num_steps)
    return [g for t in idle for g in gaps(t)], [g for t in busy for g in gaps(t)], chunk_s


def _is_alone_again(engine: Engine) -> bool:
    return len(engine.rows) == _ROWS and not engine.metrics().waiting


def _chunk_seconds(subject: Subject, prompt_len: int, num_steps: int) -> float:
    """Measure a chunk in the middle of a prompt of `num_steps` chunks, without other rows.

    The first half of the prompt is not prefilled: attending to unset positions takes as long.
    """
    num_tokens, half = -(-prompt_len // max(1, num_steps)), prompt_len // 2
    runner = ModelRunner(subject.model, subject.profile)
    runner.cache.rebuild((), 1)
    runner.cache.reserve(prompt_len)
    pass_ = Pass(0, (half,), (RowRead(0, half, num_tokens, (1,) * num_tokens),))
    seconds: list[float] = []
    for _ in range(_CHUNKS):
        start = time.perf_counter()
        mx.eval(runner.forward(StepPlan((pass_,)), None)[0].logits)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def gaps(times: Sequence[float]) -> list[float]:
    """Return the differences of consecutive times."""
    return [after - before for before, after in pairwise(times)]


def quantile(values: Sequence[float], q: float) -> float:
    """Return the value below which a fraction `q` lies; 0 without values."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[round(q * 100) - 1]
