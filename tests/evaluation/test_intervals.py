from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gad_bench.evaluation.metrics import clopper_pearson


@pytest.mark.parametrize("count", [1, 7, 285])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_the_exact_interval_of_scipy(count: int, level: float) -> None:
    low, high = clopper_pearson(np.arange(count + 1) / count, count, level)
    for found in range(count + 1):
        expected = stats.binomtest(found, count).proportion_ci(level)
        assert (low[found], high[found]) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_mean_rate_of_folds_lies_between_its_neighbours() -> None:
    low, high = clopper_pearson(np.array([0.0, 0.05, 0.1]), 10)
    assert low[0] <= low[1] <= low[2]
    assert high[0] <= high[1] <= high[2]


def test_it_covers_the_true_rate_at_least_as_often_as_it_says() -> None:
    true, count = 0.07, 40
    found = np.arange(count + 1)
    low, high = clopper_pearson(found / count, count)
    covering = (low <= true) & (true <= high)
    assert stats.binom.pmf(found, count, true)[covering].sum() >= 0.95
