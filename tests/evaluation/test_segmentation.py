"""SegF1 and its threshold, held against all pixels at once."""

from __future__ import annotations

import numpy as np
import pytest
from plain_overlap import HARD, Images
from sklearn.metrics import f1_score

from gad_bench.base.errors import UserError
from gad_bench.evaluation.intervals import resamples
from gad_bench.evaluation.segmentation import (
    good_threshold,
    resampled_segmentation_f1,
    segmentation_f1,
)


@pytest.mark.parametrize("deviations", [0.0, 3.0])
def test_the_threshold_is_that_of_all_good_pixels(deviations: float) -> None:
    maps = [1e3 + heat[:5] if index else heat for index, (heat, _) in enumerate(HARD["blobs"])]
    pixels = np.concatenate([heat.ravel() for heat in maps]).astype(np.float64)
    expected = pixels.mean() + deviations * pixels.std()
    assert good_threshold(maps, deviations) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.0, 9.0])
@pytest.mark.parametrize("images", HARD.values(), ids=HARD)
def test_f1_is_of_all_pixels(images: Images, threshold: float) -> None:
    heats = np.concatenate([heat.ravel() for heat, _ in images])
    masks = np.concatenate([mask.ravel() for _, mask in images])
    expected = f1_score(masks, heats >= threshold, zero_division=0)
    assert segmentation_f1(images, threshold) == pytest.approx(expected, rel=1e-12)


def test_good_images_without_a_pixel_above_have_no_f1() -> None:
    assert segmentation_f1(HARD["blobs"][::2], 9.0) == 0


def test_no_good_map_is_refused() -> None:
    with pytest.raises(UserError, match="hold some images out"):
        good_threshold([], 3.0)


def test_each_resamples_f1_is_that_of_its_images() -> None:
    images = HARD["blobs"]
    found, over = resampled_segmentation_f1(images, 0.8, seed=3, count=30)
    assert found == segmentation_f1(images, 0.8)
    drawn = resamples([mask.any() for _, mask in images], seed=3, count=30)
    for ours, weights in zip(over, np.concatenate(list(drawn), axis=1).T.astype(int), strict=True):
        again = [own for own, times in zip(images, weights, strict=True) for _ in range(times)]
        assert ours == pytest.approx(segmentation_f1(again, 0.8))
