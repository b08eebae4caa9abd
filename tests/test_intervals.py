"""Bootstrap intervals: known coverage, the same numbers each time, verdicts on the same queries."""

import itertools

import numpy as np
import pytest

from jhash import intervals
from jhash.types import InputError


def test_interval_is_near_the_normal_one():
    values = np.random.default_rng(0).normal(0.4, 0.2, 2000)
    mean, low, high = intervals.bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert mean == values.mean()
    np.testing.assert_allclose([mean - low, high - mean], half, rtol=0.06)


def test_interval_covers_the_truth_about_95_times_in_100():
    random = np.random.default_rng(1)
    drawn = [intervals.bootstrap(random.random(80), resamples=500, seed=i) for i in range(300)]
    covered = np.mean([low <= 0.5 <= high for _, low, high in drawn])
    assert abs(covered - 0.95) < 0.04  # three standard errors


def test_chunks_draw_what_one_piece_draws(monkeypatch):
    values = np.random.default_rng(2).random(50)
    whole = intervals.bootstrap(values, resamples=333)
    monkeypatch.setattr(intervals, "_DRAWN", 170)
    np.testing.assert_allclose(intervals.bootstrap(values, resamples=333), whole, rtol=0, atol=1e-15)


def test_another_seed_draws_other_queries():
    values = np.random.default_rng(2).random(50)
    assert intervals.bootstrap(values, seed=0) == intervals.bootstrap(values, seed=0)
    assert intervals.bootstrap(values, seed=0) != intervals.bootstrap(values, seed=1)


def test_one_query_is_a_point_and_none_an_error():
    assert intervals.bootstrap([0.25]) == (0.25, 0.25, 0.25)
    with pytest.raises(InputError, match="at least one query"):
        intervals.bootstrap([])


@pytest.mark.parametrize("gain, verdict", [(0.05, "won"), (-0.05, "lost"), (0.0, "tied")])
def test_pairing_sees_a_gain_that_separate_intervals_hide(gain, verdict):
    random = np.random.default_rng(3)
    baseline = random.random(100)
    values = baseline + gain + random.normal(0, 0.05, 100) * (gain != 0)
    found = intervals.compare(values, baseline)
    assert found.verdict == verdict
    np.testing.assert_allclose(found.difference.mean, (values - baseline).mean(), atol=1e-15)
    separate, other = intervals.bootstrap(values), intervals.bootstrap(baseline)
    assert separate.low < other.high and other.low < separate.high


def test_comparison_needs_the_same_queries():
    with pytest.raises(InputError, match="expected the baseline's 3 queries, found 2"):
        intervals.compare([0.1, 0.2], [0.1, 0.2, 0.3])


def test_seeds_are_averaged_query_by_query():
    np.testing.assert_array_equal(intervals.average_seeds([[0.0, 1.0], [0.5, 0.5]]), [0.25, 0.75])


def test_spread_between_seeds():
    assert intervals.spread([0.5]) == (0.5, None)
    np.testing.assert_allclose(intervals.spread([1.0, 2.0, 3.0]), (2.0, 1.0))


def enumerated(differences):
    """The share of all choices of signs whose sum is as far from 0 as the one found."""
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product([1, -1], repeat=len(differences))]
    return np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 13])
@pytest.mark.parametrize("gain", [0.0, 0.3])
def test_few_queries_are_tested_by_every_choice_of_signs(size, gain):
    random = np.random.default_rng(size)
    values, baseline = random.random(size) + gain, random.random(size)
    p = intervals.sign_flip_test(values, baseline)
    np.testing.assert_allclose(p, enumerated(values - baseline), rtol=1e-12)
    assert p == intervals.sign_flip_test(baseline, values)  # either way


def test_equal_differences_tie_with_the_one_found():
    assert intervals.sign_flip_test([0.1, 0.2, 0.3], [0.0, 0.1, 0.2]) == 2 / 8  # all up or all down, whatever rounds


def test_many_queries_are_tested_by_some_choices_of_signs():
    differences = np.random.default_rng(4).normal(0.25, 1.0, 14)
    p = intervals.sign_flip_test(differences, np.zeros(14), flips=9999)  # of 2^14
    exact = enumerated(differences)
    assert 0.1 < exact < 0.9 and p != exact
    assert abs(p - exact) < 4 * np.sqrt(exact * (1 - exact) / 9999)
    assert (p * 10_000) % 1 == pytest.approx(0, abs=1e-6)  # (k + 1) / (n + 1)


def test_a_gain_of_every_query_has_the_smallest_p_that_there_is():
    baseline = np.random.default_rng(5).random(500)
    assert intervals.sign_flip_test(baseline + 0.01, baseline) == 1 / 10_000
    assert intervals.sign_flip_test(baseline, baseline) == 1.0


def test_p_is_below_5_percent_5_times_in_100_where_nothing_differs():
    random = np.random.default_rng(6)
    ps = [intervals.sign_flip_test(*random.random((2, 40)), flips=399, seed=i) for i in range(600)]
    assert abs(np.mean(np.array(ps) <= 0.05) - 0.05) < 0.027  # three standard errors


def test_queries_without_a_difference_change_nothing():
    values = np.array([0.3, 0.5, 0.2, 0.9])
    padded = np.concatenate([values, np.full(100, 0.4)]), np.concatenate([np.full(4, 0.35), np.full(100, 0.4)])
    assert intervals.sign_flip_test(*padded) == intervals.sign_flip_test(values, np.full(4, 0.35))


def test_the_sign_flip_test_needs_the_same_queries():
    with pytest.raises(InputError, match="expected the baseline's 3 queries, found 2"):
        intervals.sign_flip_test([0.1, 0.2], [0.1, 0.2, 0.3])


def test_another_seed_flips_other_signs():
    values, baseline = np.random.default_rng(7).random((2, 60))
    first = intervals.sign_flip_test(values, baseline, seed=0)
    assert first == intervals.sign_flip_test(values, baseline, seed=0)
    assert first != intervals.sign_flip_test(values, baseline, seed=1)


def test_holm_by_hand():
    np.testing.assert_allclose(intervals.holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(intervals.holm([0.4, 0.6]), [0.8, 0.8])
    np.testing.assert_allclose(intervals.holm([0.7, 0.9]), [1.0, 1.0])
    assert intervals.holm([]).shape == (0,)
