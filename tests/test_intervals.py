"""Bootstrap intervals: known coverage, the same numbers each time, verdicts on the same queries."""

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
