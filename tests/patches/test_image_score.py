"""Images' scores from their patches', held against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gad_bench.base.errors import UserError
from gad_bench.patches.image_score import MapStatistics, Maximum, MeanOfHighest
from gad_bench.patches.maps import Grids


def some_grids(seed: int, images: int = 9) -> Grids:
    return np.random.default_rng(seed).gamma(2.0, size=(images, 10, 30))


def test_the_maximum_is_the_highest_patch() -> None:
    grids = some_grids(0)
    np.testing.assert_array_equal(Maximum(smoothing=0.0).of(grids), [own.max() for own in grids])


def test_a_map_is_smoothed_by_itself() -> None:
    grids = some_grids(0)
    expected = [gaussian_filter(own, 1.5).max() for own in grids]
    np.testing.assert_allclose(Maximum(smoothing=1.5).of(grids), expected, rtol=1e-12)


@pytest.mark.parametrize(("share", "count"), [(0.01, 3), (0.0101, 4), (1e-6, 1), (1.0, 300)])
def test_the_share_is_rounded_up_to_whole_patches(share: float, count: int) -> None:
    grids = some_grids(0)
    expected = [np.sort(own.ravel())[-count:].mean() for own in grids]
    np.testing.assert_allclose(MeanOfHighest(share=share).of(grids), expected, rtol=1e-12)


def test_map_statistics_are_standardised_by_the_training_maps() -> None:
    training, tested = some_grids(1, images=20), 2 * some_grids(2)

    def statistics(grids: Grids) -> Grids:
        rows = []
        for own in grids:
            variation = sum(np.abs(np.diff(own, axis=axis)).mean() for axis in (0, 1))
            rows.append([own.std(), np.sort(own.ravel())[-3:].mean(), variation])
        return np.array(rows)

    fitted = statistics(training)
    standard = (statistics(tested) - fitted.mean(axis=0)) / fitted.std(axis=0)
    found = MapStatistics(share=0.01).fit([training[:7], training[7:]]).of(tested)
    np.testing.assert_allclose(found, np.sqrt((standard**2).mean(axis=1)), rtol=1e-9)


def test_map_statistics_of_maps_with_a_single_position() -> None:
    training = np.arange(4.0).reshape(4, 1, 1)
    found = MapStatistics(share=0.01).fit([training]).of(np.full((1, 1, 1), 10.0))
    np.testing.assert_allclose(found, (10 - 1.5) / training.std())


@pytest.mark.parametrize("training", [some_grids(0)[:1], np.zeros((5, 3, 3))])
def test_map_statistics_need_maps_that_differ(training: Grids) -> None:
    with pytest.raises(UserError, match="training images are all alike"):
        MapStatistics(share=0.01).fit([training])


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, np.nan])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    for kind in (MeanOfHighest, MapStatistics):
        with pytest.raises(UserError, match=r"^image_score.share must lie in \(0, 1\]"):
            kind(share=share)


def test_a_smoothing_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match=r"^image_score.smoothing must lie in"):
        Maximum(smoothing=-1.0)
