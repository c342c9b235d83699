"""One Gaussian for all positions, held against scikit-learn on all vectors at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from plain_patches import batched, embedded, flat, random_maps, settings
from sklearn.covariance import OAS, EmpiricalCovariance
from sklearn.covariance import LedoitWolf as SklearnLedoitWolf

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import compose_config
from gad_bench.gaussian.covariance import (
    Empirical,
    Identity,
    LedoitWolf,
    OracleApproximating,
)
from gad_bench.gaussian.reduction import NoReduction, PrincipalComponents
from gad_bench.gaussian.robust import MinimumCovarianceDeterminant
from gad_bench.gaussian.samples import Samples
from gad_bench.patches import BatchedMaps, Maps
from gad_bench.patches.shared_gaussian import SharedGaussian

STREAMING = sorted(
    {path.stem for path in (config_folder() / "covariance").iterdir()}
    - {"factor_analysis", "graphical_lasso", "min_cov_det"}
)


def gaussian(**changes: Any) -> SharedGaussian:
    defaults = {"reduction": NoReduction(), "covariance": LedoitWolf()}
    return SharedGaussian(**settings(**defaults | changes))


@pytest.mark.parametrize(
    ("covariance", "reference"),
    [
        (Empirical(), EmpiricalCovariance()),
        (LedoitWolf(), SklearnLedoitWolf()),
        (OracleApproximating(), OAS()),
    ],
)
def test_scores_are_mahalanobis_distances(
    train: BatchedMaps, test: Maps, covariance: Any, reference: Any
) -> None:
    one, two = (embedded(maps, [1, 2]) for maps in (train.maps, test))
    expected = np.sqrt(reference.fit(flat(one)).mahalanobis(flat(two))).reshape(two.shape[:3])
    found = gaussian(blocks=[1, 2], covariance=covariance).fit(train).patch_scores(test)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", STREAMING)
def test_every_streaming_covariance_gives_what_it_gives_for_all_vectors(
    train: BatchedMaps, test: Maps, name: str
) -> None:
    covariance = instantiate(compose_config([f"covariance={name}"]).covariance)
    one, two = (flat(embedded(maps, [1])) for maps in (train.maps, test))
    found = gaussian(blocks=[1], covariance=covariance).fit(train).patch_scores(test)
    expected = covariance.fit(Samples(one)).distance(two)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)


def test_a_reduction_is_fitted_on_all_positions(train: BatchedMaps, test: Maps) -> None:
    reduction = PrincipalComponents(threshold=0.95, negated=True)
    one, two = (flat(embedded(maps, [1])) for maps in (train.maps, test))
    directions = reduction.fit(Samples(one)).directions
    expected = SklearnLedoitWolf().fit(one @ directions).mahalanobis(two @ directions)
    found = gaussian(blocks=[1], reduction=reduction).fit(train).patch_scores(test)
    np.testing.assert_allclose(found.ravel(), np.sqrt(expected), rtol=1e-6)


def test_one_image_of_constant_features_has_no_distances_but_from_the_mean() -> None:
    maps = {1: np.full((1, 3, 2, 2), 4.0, np.float32)}
    with pytest.raises(UserError, match="do not vary enough"):
        gaussian(blocks=[1]).fit(batched(maps))
    found = gaussian(blocks=[1], covariance=Identity()).fit(batched(maps)).patch_scores(maps)
    np.testing.assert_array_equal(found, 0)


def test_a_huge_scale_changes_no_distance() -> None:
    one, two = random_maps(), random_maps(seed=1)
    expected = gaussian().fit(batched(one)).patch_scores(two)
    huge = [
        {block: own * np.float32(2.0**60) for block, own in maps.items()} for maps in (one, two)
    ]
    found = gaussian().fit(batched(huge[0])).patch_scores(huge[1])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_covariance_that_needs_the_vectors_is_refused() -> None:
    robust = MinimumCovarianceDeterminant(support=None, seed=0)
    with pytest.raises(UserError, match="needs the vectors, not their moments"):
        gaussian(covariance=robust).fit(batched(random_maps()))


def test_other_channels_than_the_fitted_are_refused() -> None:
    fitted = gaussian(blocks=[1]).fit(batched(random_maps()))
    with pytest.raises(UserError, match=r"to score have 5 channels, those .* fitted had 3"):
        fitted.patch_scores({1: random_maps()[2]})


def test_a_covariance_matrix_beyond_the_memory_limit_is_refused() -> None:
    with pytest.raises(UserError, match=r"of 8 features would take .*detector.blocks"):
        gaussian(memory_limit=1e-6).fit(batched(random_maps()))
