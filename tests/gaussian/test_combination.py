from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.combination import (
    Concatenated,
    Evidence,
    Maximum,
    Mean,
    StandardisedMean,
    SumOfSquares,
)

Array = NDArray[np.float64]


def never() -> Array:
    raise AssertionError("computed for nothing")


def scores(values: Array) -> Evidence:
    return Evidence(scores=values, fitted_scores=never, score_as_one=never)


VALUES = np.array([[3.0, 4.0, 0.0], [1.0, 2.0, 6.0]])


def test_mean() -> None:
    np.testing.assert_allclose(Mean().combine(scores(VALUES)), [7 / 3, 3])


def test_maximum() -> None:
    np.testing.assert_array_equal(Maximum().combine(scores(VALUES)), [4, 6])


def test_sum_of_squares_is_the_distance_of_independent_blocks() -> None:
    np.testing.assert_allclose(SumOfSquares().combine(scores(VALUES)), [5, np.sqrt(41)])


def test_sum_of_squares_refuses_scores_that_are_no_distances() -> None:
    with pytest.raises(UserError, match="combination=sum_of_squares needs distances"):
        SumOfSquares().combine(scores(np.array([[1.0, -0.5]])))


def test_standardised_mean_gives_every_block_the_same_weight() -> None:
    fitted = np.random.default_rng(0).standard_normal((50, 3)) * [1, 1e-3, 1e6] + [5, 0, -7]
    evidence = Evidence(scores=VALUES, fitted_scores=lambda: fitted, score_as_one=never)
    expected = ((VALUES - fitted.mean(axis=0)) / fitted.std(axis=0)).mean(axis=1)
    np.testing.assert_allclose(StandardisedMean().combine(evidence), expected)


def test_standardised_mean_refuses_scores_without_a_scale() -> None:
    evidence = Evidence(scores=VALUES, fitted_scores=lambda: np.ones((5, 3)), score_as_one=never)
    with pytest.raises(UserError, match="the same for all fitted images"):
        StandardisedMean().combine(evidence)


def test_concatenated_is_the_score_of_all_blocks_as_one() -> None:
    evidence = Evidence(
        scores=VALUES, fitted_scores=never, score_as_one=lambda: np.array([1.0, 2.0])
    )
    np.testing.assert_array_equal(Concatenated().combine(evidence), [1, 2])
