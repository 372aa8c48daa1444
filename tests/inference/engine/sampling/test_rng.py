"""Random numbers that belong to one request alone."""

import statistics

from concordance_inference.engine.sampling.rng import uniform


def test_the_same_seed_and_index_give_the_same_number():
    assert uniform(7, 3) == uniform(7, 3)


def test_numbers_are_in_the_unit_interval_and_spread_over_it():
    numbers = [uniform(seed, index) for seed in range(50) for index in range(200)]

    assert all(0 <= x < 1 for x in numbers)
    assert abs(statistics.mean(numbers) - 0.5) < 0.01
    assert abs(statistics.pvariance(numbers) - 1 / 12) < 0.003
    for tenth in range(10):
        share = sum(tenth <= 10 * x < tenth + 1 for x in numbers) / len(numbers)
        assert abs(share - 0.1) < 0.01


def test_neighbouring_seeds_and_indices_have_nothing_to_do_with_each_other():
    a = [uniform(1, i) for i in range(2000)]

    assert abs(statistics.correlation(a, [uniform(2, i) for i in range(2000)])) < 0.06
    assert abs(statistics.correlation(a, [uniform(1, i + 1) for i in range(2000)])) < 0.06


def test_seeds_of_any_size_and_sign_are_fine():
    assert len({uniform(seed, 0) for seed in (0, -1, 1, 2**63, 2**64 + 5)}) == 5
