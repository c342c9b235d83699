"""What all patch detectors have in common, for each of conf/detector."""

from __future__ import annotations

import numpy as np
import pytest
from plain_patches import batched, random_maps

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import build, compose_config
from gad_bench.deploy.decoding import decode
from gad_bench.deploy.format import Arrays, encode
from gad_bench.patches import BatchedMaps, FittedPatchDetector, Maps, PatchDetector

NAMES = sorted(
    path.stem
    for path in (config_folder() / "detector").glob("*.yaml")
    if "gad_bench.patches" in path.read_text()
)


def chosen(name: str, *overrides: str) -> PatchDetector:
    return build(compose_config([f"detector={name}", *overrides]).detector)


@pytest.fixture(scope="module")
def fitted(train: BatchedMaps) -> dict[str, FittedPatchDetector]:
    blocks = {name: ["detector.blocks=[1]"] if name == "patch_subspace" else [] for name in NAMES}
    return {name: chosen(name, *blocks[name]).fit(train) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_detector_scores_as_before(
    fitted: dict[str, FittedPatchDetector], test: Maps, name: str
) -> None:
    arrays: Arrays = {}
    again = decode(encode(fitted[name], "detector", arrays), arrays)
    for attribute in ("grids", "images"):
        expected, found = (getattr(own.score(test), attribute) for own in (fitted[name], again))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_an_images_scores_do_not_depend_on_those_beside_it(
    fitted: dict[str, FittedPatchDetector], test: Maps, name: str
) -> None:
    alone = fitted[name].score({block: own[2:3] for block, own in test.items()})
    beside = fitted[name].score(test)
    np.testing.assert_allclose(alone.grids[0], beside.grids[2], rtol=1e-9)
    np.testing.assert_allclose(alone.images[0], beside.images[2], rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_float64_on_the_grid(
    fitted: dict[str, FittedPatchDetector], test: Maps, name: str
) -> None:
    found = fitted[name].score(test)
    assert found.grids.dtype == found.images.dtype == np.float64
    assert len(found.grids) == len(found.images) == 6
    assert found.grids.ndim == 3
    assert (found.grids >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_defects_score_higher_in_the_mean(
    fitted: dict[str, FittedPatchDetector], test: Maps, name: str
) -> None:
    found = fitted[name].score(test).images
    assert found[3:].mean() > found[:3].mean()


def test_blocks_left_open_are_all_that_are_given() -> None:
    maps = random_maps()
    fitted = chosen("patch_knn").fit(batched(maps))
    more = {**maps, 5: maps[1]}
    np.testing.assert_array_equal(fitted.patch_scores(more), fitted.patch_scores(maps))


def test_an_image_score_of_map_statistics_is_fitted_on_the_training_maps() -> None:
    fitted = chosen("patch_gaussian", "image_score=map_statistics").fit(batched(random_maps()))
    found = fitted.score(random_maps()).images
    np.testing.assert_allclose((found**2).mean(), 1)


def test_the_whole_bank_leaves_map_statistics_nothing_to_fit() -> None:
    detector = chosen("patch_knn", "image_score=map_statistics", "detector.metric=euclidean")
    with pytest.raises(UserError, match="training images are all alike"):
        detector.fit(batched(random_maps()))
