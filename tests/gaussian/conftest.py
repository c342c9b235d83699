from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Callable[[int, int], Array]
"""From a count and a dimension to vectors [count, dim]."""


def independent(count: int, dimension: int) -> Array:
    return np.random.default_rng(0).standard_normal((count, dimension))


def correlated(count: int, dimension: int) -> Array:
    mixing = np.random.default_rng(1).standard_normal((dimension, dimension))
    return independent(count, dimension) @ mixing + 5


def with_constant_features(count: int, dimension: int) -> Array:
    values = correlated(count, dimension)
    values[:, 0] = 0.1  # has no exact binary form, so that a careless mean gives it a variance
    values[:, dimension // 2] = 0.0
    return values


def badly_scaled(count: int, dimension: int) -> Array:
    return correlated(count, dimension) * np.logspace(-6, 6, dimension)


def far_from_zero(count: int, dimension: int) -> Array:
    return correlated(count, dimension) + 1e6


def with_repeated_samples(count: int, dimension: int) -> Array:
    values = correlated(count, dimension)
    values[count // 2 + 1 :] = values[: count - count // 2 - 1]
    return values


KINDS = {
    kind.__name__: kind
    for kind in (
        independent,
        correlated,
        with_constant_features,
        badly_scaled,
        far_from_zero,
        with_repeated_samples,
    )
}
SHAPES = {"tall": (160, 24), "wide": (24, 60), "just tall": (61, 60)}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SHAPES[request.param]


@pytest.fixture
def fitted_and_tested(kind: Kind, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Samples [count, dim], and others [20, dim] that look like them."""
    count, dimension = shape
    values = kind(count + 20, dimension)
    return values[:count], values[count:]


def mahalanobis(mean: Array, covariance: Array, features: Array) -> Array:
    """The distance in plain lines: features brought to one scale, then one linear system."""
    scale = np.sqrt(covariance.diagonal())
    centred = (features - mean) / scale
    solved = np.linalg.solve(covariance / scale / scale[:, None], centred.T).T
    return np.sqrt(np.sum(centred * solved, axis=1))


@pytest.fixture
def reference() -> Callable[[Array, Array, Array], Array]:
    return mahalanobis
