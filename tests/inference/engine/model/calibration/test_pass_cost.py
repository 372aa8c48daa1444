"""What a pass costs, as measured when a model is loaded."""

import mlx.core as mx
import pytest
from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.model.calibration import pass_cost
from concordance_inference.engine.model.calibration.pass_cost import measured_cost
from concordance_inference.engine.model.lm_head import SelectiveHead
from families import EVERY_FAMILY, model_named


class Clock:
    """A model on which every pass takes as long as a cost says, and the time that passed."""

    def __init__(self, **cost):
        self.cost = pass_cost.PassCost(**cost)
        self.now = 0.0
        self.length = 0

    def perf_counter(self):
        return self.now

    def __call__(self, tokens, layers, wanted):
        num_rows, num_tokens = tokens.shape
        self.now += self.cost.of(num_rows, num_tokens, self.length + num_tokens)
        return mx.zeros((1, 4))


class Places:
    """A cache that tells the model how many tokens stand before."""

    layers = ()

    def __init__(self, clock):
        self._clock = clock

    def begin(self, pass_):
        self._clock.length = pass_.starts[0]

    def ignore(self, *args):
        pass

    rebuild = reserve = rewind = end = ignore


@pytest.mark.parametrize("per_attended", [0.0, 1e-6])
def test_each_part_of_the_cost_is_told_from_the_others(monkeypatch, per_attended):
    clock = Clock(fixed=0.07, per_token=0.002, per_attended=per_attended)
    monkeypatch.setattr(pass_cost, "time", clock)

    cost = measured_cost(clock, Places(clock))

    assert cost.fixed == pytest.approx(0.07, rel=1e-3)
    assert cost.per_token == pytest.approx(0.002, rel=1e-3)
    assert cost.per_attended == pytest.approx(per_attended)


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_every_kind_of_cache_is_measured_and_left_without_rows(family):
    model = model_named(family)
    cache = BatchCache(model)

    cost = measured_cost(SelectiveHead(model), cache)

    assert min(cost.fixed, cost.per_token) > 0 <= cost.per_attended
    assert (cache.num_rows, cache.num_bytes) == (0, 0)
