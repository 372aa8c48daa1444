"""Padding or separate passes for rows that process different numbers of tokens."""

import statistics
import time
from collections.abc import Iterator

import mlx.core as mx

from concordance_inference.bench.drive import Subject
from concordance_inference.bench.figures import Effort, Figure, alternate, compared
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.plan import PassCost, RowDemand, StepPlan
from concordance_inference.engine.planner import plan_step

_DECODING = 7  # rows that decode one token, beside one that processes more
_CACHED = 100  # tokens in the cache of each row
_NUM_TOKENS = (2, 4, 8, 16, 64)  # tokens that the last row processes

#: Costs with which the planner always separates rows, and always pads them.
_SEPARATE = PassCost(fixed=0.0, per_token=1.0)
_PADDED = PassCost(fixed=1e9, per_token=1.0)


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Measure a step both ways, and as planned with the measured cost of passes."""
    runner = _filled(subject)
    for num_tokens in _NUM_TOKENS:
        rows = [*[RowDemand(_CACHED, [7])] * _DECODING, RowDemand(_CACHED, [7] * num_tokens)]
        plans = [
            plan_step(rows, chunk=512, sharing=subject.profile.sharing, cost=cost)
            for cost in (_SEPARATE, _PADDED, subject.profile.cost)
        ]
        separate, padded, planned = alternate(
            [lambda plan=plan: _milliseconds(runner, plan) for plan in plans],
            rounds=effort.rounds,
        )
        what = f"{_DECODING} rows process 1 token and one processes {num_tokens}"
        yield compared(
            f"{what}: padded, against separate passes", subject.name, "ms", padded, separate
        )
        best = min((separate, padded), key=statistics.median)
        yield compared(f"{what}: as planned, against the better", subject.name, "ms", planned, best)


def _filled(subject: Subject) -> ModelRunner:
    """Build a runner and prefill its rows."""
    runner = ModelRunner(subject.model, subject.profile)
    runner.cache.rebuild((), _DECODING + 1)
    rows = [RowDemand(0, subject.prompt(_CACHED, seed)) for seed in range(_DECODING + 1)]
    for result in runner.forward(plan_step(rows, chunk=512), None):
        mx.eval(result.logits)
    return runner


def _milliseconds(runner: ModelRunner, plan: StepPlan) -> float:
    start = time.perf_counter()
    mx.eval([result.logits for result in runner.forward(plan, None)])
    return 1e3 * (time.perf_counter() - start)
