from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import pinvh
from sklearn.covariance import LedoitWolf as Reference

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import Diagonal, LedoitWolf
from gad_bench.gaussian.moments import Moments
from gad_bench.gaussian.pseudo_inverse import pseudo_inverse
from gad_bench.gaussian.samples import Samples

SPACING = 1.1920929e-07

Array = NDArray[np.float64]


def wide(scale: float = 1.0) -> Array:
    """Twelve samples in 300 dimensions, of steeply falling variance: shrinkage fills the rest."""
    draw = np.random.default_rng(3)
    return 5 + scale * draw.standard_normal((12, 300)) * np.logspace(0, -3, 300)


def by_pinvh(values: Array, images: Array, cutoff: float) -> tuple[Array, int]:
    fitted = Reference().fit(values)
    inverse, rank = pinvh(
        fitted.covariance_, atol=0, rtol=cutoff * values.shape[1], return_rank=True
    )
    centred = images - values.mean(axis=0)
    return np.sqrt(np.einsum("nd,de,ne->n", centred, inverse, centred)), rank


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("cutoff", [SPACING, 1e-5, 1e-3])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_the_distance_is_that_of_scipys_pseudo_inverse(
    precision: str, cutoff: float, scale: float
) -> None:
    values = wide(scale) - 5
    images = values[::-1] * 1.5
    metric = LedoitWolf(precision=precision, cutoff=cutoff).fit(Samples(values))
    expected, rank = by_pinvh(values, images, cutoff)
    assert metric.dimension == rank
    np.testing.assert_allclose(metric.distance(images), expected, rtol=1e-3)


def test_the_cutoff_removes_what_shrinkage_filled() -> None:
    ranks = [
        LedoitWolf(cutoff=cutoff).fit(Samples(wide())).dimension for cutoff in (0.0, 1e-6, 1e-3)
    ]
    assert ranks[0] == 300
    assert ranks[0] >= ranks[1] > ranks[2] >= 1


def test_single_precision_without_a_cutoff_is_the_inverse_to_that_precision() -> None:
    values = np.random.default_rng(0).standard_normal((50, 8)) * np.arange(1, 9)
    single = LedoitWolf(precision="float32").fit(Samples(values)).distance(values)
    double = LedoitWolf().fit(Samples(values)).distance(values)
    np.testing.assert_allclose(single, double, rtol=1e-5)
    assert not np.array_equal(single, double)


def test_moments_give_the_same_as_their_vectors() -> None:
    estimator = LedoitWolf(precision="float32", cutoff=SPACING)
    of_vectors, of_moments = estimator.fit(Samples(wide())), estimator.fit(Moments.of(wide()))
    assert of_vectors.dimension == of_moments.dimension
    images = wide()[:3] * 1.01
    np.testing.assert_allclose(of_vectors.distance(images), of_moments.distance(images), rtol=1e-3)


def test_repeated_images_have_a_pseudo_inverse_where_they_have_no_inverse() -> None:
    values = np.repeat([[0.0, 0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0, 0.0]], 2, axis=0)
    with pytest.raises(UserError, match="4 samples that do not vary enough"):
        LedoitWolf().fit(Samples(values))
    metric = LedoitWolf(cutoff=SPACING).fit(Samples(values))
    assert metric.dimension == 1
    np.testing.assert_allclose(metric.distance(values), 1)


@pytest.mark.parametrize("values", [np.zeros((3, 4)), np.ones((1, 4))])
def test_samples_that_do_not_vary_are_refused(values: Array) -> None:
    with pytest.raises(UserError, match="covariance matrix of 4 features is zero"):
        LedoitWolf(cutoff=SPACING).fit(Samples(values))


def test_a_negative_eigenvalue_is_never_kept() -> None:
    covariance = np.diag([4.0, 1.0, -1e-3])
    assert pseudo_inverse(np.zeros(3), covariance, "float64", 1e-9).dimension == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"precision": "float16"}, "covariance.precision=float16 is unknown: choose one of float"),
        ({"cutoff": -1.0}, r"covariance.cutoff must lie in \[0, 1\), not -1.0"),
        ({"cutoff": 1.0}, "covariance.cutoff must lie in"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LedoitWolf(**values)


@pytest.mark.parametrize("ddof", [0, 1])
def test_deviations_are_numpys_of_that_ddof(ddof: int) -> None:
    values = np.random.default_rng(1).standard_normal((7, 5)) * np.arange(1, 6)
    expected = np.sqrt((((values - values.mean(0)) / values.std(0, ddof=ddof)) ** 2).mean(1))
    found = Diagonal(ddof=ddof).fit(Samples(values)).distance(values)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_one_sample_has_no_deviation_of_either_kind() -> None:
    with pytest.raises(UserError, match="no feature varies over the 1 samples"):
        Diagonal(ddof=1).fit(Samples(np.ones((1, 3))))
    with pytest.raises(UserError, match=r"covariance\.ddof must be 0 or 1, not 2"):
        Diagonal(ddof=2)
