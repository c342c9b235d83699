from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from gad_bench.trained.weak import weak_score


def plain(errors: np.ndarray, area: int) -> float:
    """Lower the threshold, level by level, until a part is large enough."""
    for level in sorted(set(errors.ravel()), reverse=True):
        parts, count = ndimage.label(errors >= level, structure=np.ones((3, 3)))
        if count and np.bincount(parts.ravel())[1:].max() >= min(area, errors.size):
            return float(level)
    raise AssertionError("the lowest level leaves the whole image")


@pytest.mark.parametrize("area", [1, 2, 7, 60, 143, 144, 9999])
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_the_score_is_the_highest_threshold_that_leaves_a_part_of_that_area(
    area: int, levels: int
) -> None:
    for seed in range(3):
        noise = np.random.default_rng(seed).random((12, 12))
        errors = np.floor(ndimage.gaussian_filter(noise, 1) * levels).astype(np.float32)
        assert weak_score(errors, area) == plain(errors, area)


def test_one_pixel_scores_its_own_error_and_the_whole_image_the_lowest() -> None:
    errors = np.arange(20.0).reshape(4, 5)
    assert weak_score(errors, 1) == 19
    assert weak_score(errors, 20) == 0


def test_a_bright_speck_smaller_than_the_smallest_defect_does_not_count() -> None:
    errors = np.zeros((16, 16))
    errors[2, 2] = 9.0
    errors[8:11, 8:11] = 1.0
    assert weak_score(errors, 9) == 1.0
