"""Calibration: the measured cost of a pass."""

import mlx.core as mx
import pytest
from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.model.calibration import pass_cost
from concordance_inference.engine.model.calibration.pass_cost import measured_cost
from concordance_inference.engine.model.lm_head import SelectiveHead
from families import EVERY_FAMILY, model_named


class Clock:
    """A model whose passes take the time that a cost gives, and the clock that they advance."""

    def __init__(self, delays=(), **cost):
        self.cost = pass_cost.PassCost(**cost)
        self.delays = iter(delays)  # by how much other processes slow down each pass
        self.now = 0.0
        self.length = 0
        self.num_passes = 0

    def perf_counter(self):
        return self.now

    def __call__(self, tokens, layers, positions):
        num_rows, num_tokens = tokens.shape
        self.num_passes += 1
        self.now += self.cost.of(num_rows, num_tokens, self.length + num_tokens)
        self.now += next(self.delays, 0.0)
        return mx.zeros((1, 4))


class Places:
    """A cache that reports the start position of a pass to the clock."""

    layers = ()

    def __init__(self, clock):
        self._clock = clock

    def begin(self, pass_):
        self._clock.length = pass_.starts[0]

    def ignore(self, *args):
        pass

    rebuild = reserve = rewind = end = ignore


@pytest.mark.parametrize("per_attended", [0.0, 1e-6])
def test_the_parts_of_the_cost_of_a_pass_are_separated(monkeypatch, per_attended):
    clock = Clock(fixed=0.07, per_token=0.002, per_attended=per_attended)
    monkeypatch.setattr(pass_cost, "time", clock)

    measured = measured_cost(clock, Places(clock))

    cost = measured.cost
    assert measured.is_steady
    assert clock.num_passes == 3 * (1 + 3)  # one round to compile, three to measure
    assert cost.fixed == pytest.approx(0.07, rel=1e-3)
    assert cost.per_token == pytest.approx(0.002, rel=1e-3)
    assert cost.per_attended == pytest.approx(per_attended)


def test_a_busy_moment_does_not_change_the_measured_cost(monkeypatch):
    delays = [0.02 + 0.01 * i for i in range(12)]  # of the first four rounds
    clock = Clock(delays, fixed=0.01, per_token=0.0002)
    monkeypatch.setattr(pass_cost, "time", clock)

    measured = measured_cost(clock, Places(clock))

    assert measured.is_steady
    assert measured.cost.fixed == pytest.approx(0.01, rel=1e-3)
    assert measured.cost.per_token == pytest.approx(0.0002, rel=1e-3)


@pytest.mark.parametrize(("fixed", "num_rounds"), [(1e-6, 12), (5.0, 3)])
def test_calibration_on_a_busy_machine_is_bounded_and_not_steady(monkeypatch, fixed, num_rounds):
    delays = [fixed * 1.25**i for i in range(40, 0, -1)]  # no two rounds are alike
    clock = Clock(delays, fixed=fixed, per_token=1e-9)
    monkeypatch.setattr(pass_cost, "time", clock)

    assert not measured_cost(clock, Places(clock)).is_steady
    assert clock.num_passes == 3 * (1 + num_rounds)


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_calibration_works_for_every_cache_family_and_leaves_no_rows(family):
    model = model_named(family)
    cache = BatchCache(model)

    cost = measured_cost(SelectiveHead(model), cache).cost

    assert min(cost.fixed, cost.per_token) > 0 <= cost.per_attended
    assert (cache.num_rows, cache.num_bytes) == (0, 0)
