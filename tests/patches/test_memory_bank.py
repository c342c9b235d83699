"""PatchCore, AnomalyDINO's search and whitened ones, held against every distance in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plain_patches import (
    batched,
    distances,
    embedded,
    flat,
    plain_greedy,
    random_maps,
    settings,
)
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf as SklearnLedoitWolf
from sklearn.random_projection import johnson_lindenstrauss_min_dim

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import Diagonal, LedoitWolf
from gad_bench.gaussian.reduction import NoReduction, PrincipalComponents
from gad_bench.patches import BatchedMaps, Maps
from gad_bench.patches.memory_bank import (
    NearestPatches,
    PatchCore,
    PatchNeighbours,
    WhitenedPatchCore,
)

Array = NDArray[np.float64]


def patchcore(**changes: Any) -> PatchCore:
    defaults = {"share": 0.1, "projection": 8, "neighbours": 1, "reweighting": 1, "seed": 3}
    return PatchCore(**settings(**defaults | changes))


def neighbours(**changes: Any) -> PatchNeighbours:
    return PatchNeighbours(**settings(**{"neighbours": 1, "metric": "euclidean"} | changes))


def whitened(**changes: Any) -> WhitenedPatchCore:
    defaults = {"share": 1.0, "projection": 8, "neighbours": 1, "reweighting": 1, "seed": 3}
    others = {"reduction": NoReduction(), "covariance": LedoitWolf()}
    return WhitenedPatchCore(**settings(**defaults | others | changes))


def plain_coreset(patches: Array, kept: int, *, projection: int, seed: int) -> Array:
    generator = np.random.default_rng(seed)
    points = patches @ generator.standard_normal((patches.shape[1], projection))
    rows = plain_greedy(points, kept, int(generator.integers(len(points))))
    return patches[np.sort(rows)]


def entries(maps: Maps, detector: PatchCore) -> Array:
    scorer = detector.fit(batched(maps)).scorer
    assert isinstance(scorer, NearestPatches)
    return scorer.bank.entries


def test_patchcore_scores_by_the_nearest_of_a_greedy_coreset(
    train: BatchedMaps, test: Maps
) -> None:
    one, two = (embedded(maps, [2, 3], 3) for maps in (train.maps, test))
    bank = plain_coreset(flat(one), 76, projection=8, seed=3)
    fitted = patchcore(blocks=[2, 3], neighbourhood=3).fit(train)
    found = fitted.score(test)
    expected = distances(two, bank).min(axis=-1)
    np.testing.assert_allclose(found.grids, expected, rtol=1e-6)
    np.testing.assert_array_equal(found.images, found.grids.max(axis=(1, 2)))


def test_the_image_score_is_reweighted_by_the_entries_around_the_nearest(
    train: BatchedMaps, test: Maps
) -> None:
    one, two = (embedded(maps, [2, 3], 3) for maps in (train.maps, test))
    bank = plain_coreset(flat(one), 76, projection=8, seed=3)
    expected = []
    for image in two:
        patches = flat(image)
        every = distances(patches, bank)
        worst = patches[every.min(axis=1).argmax()]
        nearest = bank[every[every.min(axis=1).argmax()].argmin()]
        around = bank[np.argsort(np.linalg.norm(bank - nearest, axis=1))[:9]]
        far = np.exp(np.linalg.norm(worst - around, axis=1))
        weight = 1 - np.exp(np.linalg.norm(worst - nearest)) / far.sum()
        expected.append(weight * np.linalg.norm(worst - nearest))
    fitted = patchcore(blocks=[2, 3], neighbourhood=3, reweighting=9).fit(train)
    np.testing.assert_allclose(fitted.score(test).images, expected, rtol=1e-6)


def test_several_neighbours_are_averaged(train: BatchedMaps, test: Maps) -> None:
    one, two = (embedded(maps, [3]) for maps in (train.maps, test))
    found = patchcore(blocks=[3], share=1.0, neighbours=5).fit(train).patch_scores(test)
    expected = np.sort(distances(two, flat(one)))[..., :5].mean(axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_coreset_does_not_depend_on_the_batches(train: BatchedMaps, batch_size: int) -> None:
    detector = patchcore(blocks=[2, 3], projection=128)
    scorers = [detector.fit(batched(train.maps, size)).scorer for size in (12, batch_size)]
    assert all(isinstance(own, NearestPatches) for own in scorers)
    np.testing.assert_array_equal(*(own.bank.entries for own in scorers))  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [2, 784, 163856])
def test_a_projection_left_open_has_as_many_dimensions_as_the_lemma_asks(count: int) -> None:
    expected = johnson_lindenstrauss_min_dim(count, eps=0.9)
    assert patchcore(projection=None)._dimensions(count) == expected


def test_repeated_images_fill_no_bank_twice() -> None:
    maps = {1: np.repeat(random_maps(1)[1], 6, axis=0)}
    assert len(entries(maps, patchcore(blocks=[1], share=0.9))) == 24


def test_constant_features_and_one_image_are_fitted() -> None:
    maps = {1: np.full((1, 3, 2, 2), 4.0, np.float32)}
    for detector in (patchcore(share=0.5), neighbours()):
        np.testing.assert_array_equal(detector.fit(batched(maps)).score(maps).images, 0)


def test_a_huge_scale_scales_the_scores() -> None:
    one, two = random_maps(), random_maps(seed=1)
    huge = [
        {block: own * np.float32(2.0**70) for block, own in maps.items()} for maps in (one, two)
    ]
    expected = patchcore().fit(batched(one)).patch_scores(two)
    found = patchcore().fit(batched(huge[0])).patch_scores(huge[1])
    np.testing.assert_allclose(found, expected * 2.0**70, rtol=1e-6)


def test_the_weight_of_distant_patches_stays_finite() -> None:
    one, two = random_maps(scale=1e4), random_maps(seed=1, scale=1e4)
    found = patchcore(reweighting=9).fit(batched(one)).score(two)
    assert np.isfinite(found.images).all()
    assert (found.images <= found.grids.max(axis=(1, 2))).all()


@pytest.mark.parametrize("k", [1, 4])
def test_the_whole_bank_by_cosine(train: BatchedMaps, test: Maps, k: int) -> None:
    one, two = (flat(embedded(maps, [2])) for maps in (train.maps, test))
    expected = np.sort(cdist(two, one, "cosine"))[:, :k].mean(axis=1)
    found = neighbours(blocks=[2], metric="cosine", neighbours=k).fit(train).patch_scores(test)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)


def test_the_whole_bank_by_euclidean_distance(train: BatchedMaps, test: Maps) -> None:
    one, two = (flat(embedded(maps, [2])) for maps in (train.maps, test))
    found = neighbours(blocks=[2]).fit(train).patch_scores(test)
    np.testing.assert_allclose(found.ravel(), cdist(two, one).min(axis=1), rtol=1e-6)


def test_a_whitened_bank_gives_mahalanobis_distances(train: BatchedMaps, test: Maps) -> None:
    one, two = (flat(embedded(maps, [1])) for maps in (train.maps, test))
    inverse = np.linalg.inv(SklearnLedoitWolf().fit(one).covariance_)
    expected = [cdist(row[None], one, "mahalanobis", VI=inverse).min() for row in two[::37]]
    found = whitened(blocks=[1]).fit(train).patch_scores(test)
    np.testing.assert_allclose(found.ravel()[::37], expected, rtol=2e-6)


def test_whitening_follows_a_reduction(train: BatchedMaps, test: Maps) -> None:
    reduction = PrincipalComponents(threshold=0.9, negated=False)
    one, two = (flat(embedded(maps, [1])) for maps in (train.maps, test))
    variances, directions = np.linalg.eigh(np.cov(one.T, bias=True))
    explained = np.cumsum(variances[::-1]) / variances.sum()
    kept = directions[:, ::-1][:, : np.flatnonzero(explained > 0.9)[0] + 1]
    scale = (one @ kept).std(axis=0) * np.sqrt(kept.shape[1])
    expected = cdist(two @ kept / scale, one @ kept / scale).min(axis=1)
    detector = whitened(blocks=[1], reduction=reduction, covariance=Diagonal())
    found = detector.fit(train).patch_scores(test)
    np.testing.assert_allclose(found.ravel(), expected, rtol=2e-6)


def test_a_map_that_is_not_finite_is_refused() -> None:
    maps = random_maps()
    maps[2][4, 0, 0, 0] = np.nan
    for detector in (patchcore(), neighbours(), whitened()):
        with pytest.raises(UserError, match=r"^the map of block 2 of image 4 is not finite$"):
            detector.fit(batched(maps))


@pytest.mark.parametrize(
    ("detector", "remedy"),
    [
        (neighbours(memory_limit=1e-6), "grid, name fewer blocks"),
        (patchcore(memory_limit=1e-6), "share, detector.projection or detector.grid"),
        (whitened(memory_limit=1e-6), "name fewer blocks"),
    ],
)
def test_a_bank_beyond_the_memory_limit_is_refused(detector: PatchCore, remedy: str) -> None:
    with pytest.raises(UserError, match=f"more than detector.memory_limit=1e-06: .*{remedy}"):
        detector.fit(batched(random_maps()))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, np.nan])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"^detector.share must lie in \(0, 1\], not"):
        patchcore(share=share)


@pytest.mark.parametrize("key", ["projection", "neighbours", "reweighting"])
def test_a_count_below_one_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=f"^detector.{key} must be at least 1, not 0$"):
        patchcore(**{key: 0})


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(UserError, match="must be euclidean or cosine, not manhattan"):
        neighbours(metric="manhattan")


def test_more_neighbours_than_entries_are_refused() -> None:
    with pytest.raises(UserError, match="neighbours=20 exceeds the 14 vectors of the bank"):
        patchcore(neighbours=20).fit(batched(random_maps()))
