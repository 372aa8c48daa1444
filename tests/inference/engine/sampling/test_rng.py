"""Random numbers of a request."""

import statistics

from concordance_inference.engine.sampling.rng import uniform


def test_equal_seeds_and_indices_return_equal_numbers():
    assert uniform(7, 3) == uniform(7, 3)


def test_numbers_are_uniform_in_the_unit_interval():
    numbers = [uniform(seed, index) for seed in range(50) for index in range(200)]

    assert all(0 <= x < 1 for x in numbers)
    assert abs(statistics.mean(numbers) - 0.5) < 0.01
    assert abs(statistics.pvariance(numbers) - 1 / 12) < 0.003
    for tenth in range(10):
        share = sum(tenth <= 10 * x < tenth + 1 for x in numbers) / len(numbers)
        assert abs(share - 0.1) < 0.01


def test_numbers_of_consecutive_seeds_and_indices_are_independent():
    a = [uniform(1, i) for i in range(2000)]

    assert abs(statistics.correlation(a, [uniform(2, i) for i in range(2000)])) < 0.06
    assert abs(statistics.correlation(a, [uniform(1, i + 1) for i in range(2000)])) < 0.06


def test_seeds_of_any_size_and_sign_are_valid():
    assert len({uniform(seed, 0) for seed in (0, -1, 1, 2**63, 2**64 + 5)}) == 5
