"""The cost model of passes and steps. No arrays, no model."""

import pytest
from concordance_inference.engine.plan import Pass, PassCost, RowRead, StepPlan


@pytest.mark.parametrize("length", [0, 500])
@pytest.mark.parametrize("per_attended", [0.0, 0.01])
def test_tokens_in_is_the_largest_number_within_the_budget(length, per_attended):
    cost = PassCost(fixed=5, per_token=1, per_attended=per_attended)

    for budget in (6.5, 40, 1000):
        count = cost.tokens_in(budget, length)
        assert cost.of(1, count, length + count) <= budget or count == 0
        assert cost.of(1, count + 1, length + count + 1) > budget
    assert cost.tokens_in(5, length) == 0


def test_the_cost_of_a_step_is_the_sum_over_its_passes():
    cost = PassCost(fixed=5, per_token=1, per_attended=0.1)
    decode = Pass(0, (20,), (RowRead(0, 20, 1, None),))
    forced = Pass(1, (40,), (RowRead(1, 40, 30, (7,) * 30),))
    plan = StepPlan((decode, forced))

    assert plan.cost(cost) == cost.of(1, 1, 21) + cost.of(1, 30, 70)
