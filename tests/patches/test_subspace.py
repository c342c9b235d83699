"""Residuals outside principal components, held against scikit-learn's PCA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from plain_patches import batched, embedded, flat, random_maps, settings
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from torch.nn.functional import avg_pool2d

from gad_bench.base.errors import UserError
from gad_bench.patches import BatchedMaps, Maps
from gad_bench.patches.image_score import MeanOfHighest
from gad_bench.patches.subspace import DeepFeatureModel, PatchSubspace

Array = NDArray[np.float64]


def subspace(**changes: Any) -> PatchSubspace:
    return PatchSubspace(**settings(**{"threshold": 0.9} | changes))


def dfm(**changes: Any) -> DeepFeatureModel:
    defaults = {"pooling": 4, "threshold": 0.97, "score": "reconstruction"}
    return DeepFeatureModel(**settings(**defaults | changes))


def components(values: Array, threshold: float) -> PCA:
    model = PCA(svd_solver="full").fit(values)
    explained = np.cumsum(model.explained_variance_ratio_)
    return PCA(int(np.argmax(explained > threshold)) + 1, svd_solver="full").fit(values)


def residual(model: PCA, values: Array) -> Array:
    return values - model.inverse_transform(model.transform(values))


def pooled(maps: Maps, block: int, side: int) -> Array:
    return avg_pool2d(torch.from_numpy(maps[block]).double(), side).permute(0, 2, 3, 1).numpy()


def test_patch_scores_are_squared_residuals(train: BatchedMaps, test: Maps) -> None:
    one, two = (embedded(maps, [1, 2]) for maps in (train.maps, test))
    expected = (residual(components(flat(one), 0.9), flat(two)) ** 2).sum(axis=1)
    found = subspace(blocks=[1, 2]).fit(train).patch_scores(test)
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_a_scale_scales_the_residuals(scale: float) -> None:
    one, two = random_maps(scale=scale), random_maps(seed=1, scale=scale)
    values = [flat(embedded(maps, [1, 2])) for maps in (one, two)]
    expected = (residual(components(values[0], 0.9), values[1]) ** 2).sum(axis=1)
    found = subspace().fit(batched(one)).patch_scores(two)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)


def test_vectors_that_do_not_vary_are_refused() -> None:
    maps = {1: np.full((3, 2, 2, 2), 4.0, np.float32)}
    for detector in (subspace(), dfm(pooling=1)):
        with pytest.raises(UserError, match="samples that do not vary enough"):
            detector.fit(batched(maps))


def test_reconstruction_errors_add_up_over_channels_and_positions(
    train: BatchedMaps, test: Maps
) -> None:
    one, two = (pooled(maps, 2, 3) for maps in (train.maps, test))
    flat_one, flat_two = (own.reshape(len(own), -1) for own in (one, two))
    error = residual(components(flat_one, 0.97), flat_two).reshape(two.shape) ** 2
    mean = MeanOfHighest(share=1.0)
    found = dfm(blocks=[2], pooling=3, image_score=mean).fit(train).score(test)
    np.testing.assert_allclose(found.grids, error.sum(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(found.images, error.sum(axis=(1, 2, 3)) / 4, rtol=1e-6)


def test_the_likelihood_is_a_gaussians_in_the_subspace(train: BatchedMaps, test: Maps) -> None:
    one, two = (pooled(maps, 3, 4).reshape(len(maps[3]), -1) for maps in (train.maps, test))
    model = components(one, 0.97)
    within = model.transform(one)
    normal = multivariate_normal(np.zeros(within.shape[1]), np.cov(within.T, bias=True))
    found = dfm(blocks=[3], score="likelihood").fit(train).score(test)
    assert found.grids.shape == (6, 1, 1)
    np.testing.assert_allclose(found.images, -normal.logpdf(model.transform(two)), rtol=1e-6)


def test_pooling_beyond_the_map_is_refused() -> None:
    with pytest.raises(UserError, match=r"detector.pooling=5 exceeds the map's 4 x 6 positions"):
        dfm(pooling=5).fit(batched(random_maps()))


def test_maps_of_another_size_are_refused() -> None:
    maps = random_maps()
    fitted = dfm(blocks=[1], pooling=2).fit(batched(maps))
    with pytest.raises(UserError, match=r"to score have 12 features, those .* fitted had 18"):
        fitted.score({1: maps[1][..., :4]})


def test_one_image_has_no_subspace() -> None:
    with pytest.raises(UserError, match="one sample alone"):
        dfm(pooling=2).fit(batched(random_maps(1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": 0}, "detector.pooling must be at least 1, not 0"),
        ({"threshold": 1.0}, r"detector.threshold must lie in \(0, 1\), not 1.0"),
        ({"score": "nll"}, "detector.score must be reconstruction or likelihood, not nll"),
    ],
)
def test_a_setting_outside_its_range_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dfm(**change)


def test_pooled_maps_beyond_the_memory_limit_are_refused() -> None:
    with pytest.raises(UserError, match="6 pooled maps of 48 features would take"):
        dfm(pooling=2, memory_limit=1e-6).fit(batched(random_maps()))
