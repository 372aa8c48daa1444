"""Lanes or padding: rows that read different numbers of tokens, in one pass or in several."""

import statistics
import time
from collections.abc import Iterator

import mlx.core as mx

from concordance_inference.bench.drive import Subject
from concordance_inference.bench.effort import Effort
from concordance_inference.bench.figures import Figure, alternate, compared
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.plan import PassCost, RowDemand, StepPlan
from concordance_inference.engine.planner import plan_step

#: The rows that decode one token beside one that reads more.
_DECODING = 7
_HELD = 100  # tokens that every row holds
_READ = (2, 4, 8, 16, 64)  # tokens that the last row reads

_LANES = PassCost(fixed=0.0, per_token=1.0)
_PADDED = PassCost(fixed=1e9, per_token=1.0)


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Milliseconds of a step: as planned by what passes cost here, against the better of both."""
    runner = _filled(subject)
    for num_tokens in _READ:
        rows = [*[RowDemand(_HELD, [7])] * _DECODING, RowDemand(_HELD, [7] * num_tokens)]
        plans = [
            plan_step(rows, chunk=512, sharing=subject.profile.sharing, cost=cost)
            for cost in (_LANES, _PADDED, subject.profile.cost)
        ]
        lanes, padded, planned = alternate(
            [lambda plan=plan: _milliseconds(runner, plan) for plan in plans],
            rounds=effort.rounds,
        )
        what = f"{_DECODING} rows read 1 token and one reads {num_tokens}"
        yield compared(f"{what}: padded, against lanes", subject.name, "ms", padded, lanes)
        best = min((lanes, padded), key=statistics.median)
        yield compared(f"{what}: as planned, against the better", subject.name, "ms", planned, best)


def _filled(subject: Subject) -> ModelRunner:
    """A runner whose rows hold some tokens each."""
    runner = ModelRunner(subject.model, subject.profile)
    runner.cache.rebuild((), _DECODING + 1)
    rows = [RowDemand(0, subject.prompt(_HELD, seed)) for seed in range(_DECODING + 1)]
    for scored in runner.forward(plan_step(rows, chunk=512), None):
        mx.eval(scored.logits)
    return runner


def _milliseconds(runner: ModelRunner, plan: StepPlan) -> float:
    start = time.perf_counter()
    mx.eval([scored.logits for scored in runner.forward(plan, None)])
    return 1e3 * (time.perf_counter() - start)
