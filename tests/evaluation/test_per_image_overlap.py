"""AUPIMO, held against its integral on a fine grid of false positive rates."""

from __future__ import annotations

import numpy as np
import pytest
from plain_overlap import HARD, Images

from gad_bench.base.errors import UserError
from gad_bench.evaluation.intervals import resamples
from gad_bench.evaluation.per_image_overlap import per_image_overlap, resampled_overlap

RATES = 20_000


def plain_overlap(images: Images, lowest: float, highest: float) -> list[float]:
    """The overlap at the lowest threshold that keeps each rate; its mean over the logarithm."""
    good = [heat for heat, mask in images if not mask.any()]
    values = np.append(np.unique(np.concatenate([heat.ravel() for heat, _ in images])), np.inf)
    rates = np.array([np.mean([(heat >= value).mean() for heat in good]) for value in values])
    edges = np.linspace(np.log(lowest), np.log(highest), RATES + 1)
    middles = np.exp((edges[1:] + edges[:-1]) / 2)
    thresholds = np.array([values[np.argmax(rates <= rate)] for rate in middles])
    found = []
    for heat, mask in images:
        if mask.any():
            own = np.sort(heat[mask])
            found.append(float(1 - (np.searchsorted(own, thresholds) / len(own)).mean()))
    return found


@pytest.mark.parametrize(("lowest", "highest"), [(1e-5, 1e-4), (0.01, 0.3)])
@pytest.mark.parametrize("images", HARD.values(), ids=HARD)
def test_it_is_the_mean_overlap_over_the_logarithm_of_the_rate(
    images: Images, lowest: float, highest: float
) -> None:
    found = per_image_overlap(images, lowest, highest)
    np.testing.assert_allclose(found, plain_overlap(images, lowest, highest), atol=2 / RATES)


def test_defects_above_all_good_pixels_are_found_in_full() -> None:
    images = [(heat + 2 * mask, mask) for heat, mask in HARD["blobs"]]
    np.testing.assert_allclose(per_image_overlap(images), 1)


def test_good_images_of_another_size_count_the_same() -> None:
    large, small = np.zeros((40, 40), np.float32), np.ones((1, 1), np.float32)
    bad = (np.full((2, 2), 0.5, np.float32), np.ones((2, 2), bool))
    images = [(large, large > 9), (small, small > 9), bad]
    np.testing.assert_allclose(per_image_overlap(images, 0.25, 1.0), [0.5])  # at a rate of 1/2


def test_pixels_of_anomalous_images_make_no_false_positives() -> None:
    images = [(np.where(mask, heat, heat + 9 * mask.any()), mask) for heat, mask in HARD["blobs"]]
    np.testing.assert_array_equal(
        per_image_overlap(images, 0.01, 0.3), per_image_overlap(HARD["blobs"], 0.01, 0.3)
    )


def test_without_good_or_without_anomalous_images_there_is_none() -> None:
    blobs = HARD["blobs"]
    assert len(per_image_overlap(blobs[1::2])) == 0
    assert len(per_image_overlap(blobs[::2])) == 0


def test_rates_that_do_not_rise_are_refused() -> None:
    with pytest.raises(UserError, match="do not rise"):
        per_image_overlap([], 1e-4, 1e-5)


@pytest.mark.parametrize("bins", [10_000, 300])
@pytest.mark.parametrize("images", HARD.values(), ids=HARD)
def test_each_resamples_mean_is_that_of_its_images(
    images: Images, bins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gad_bench.evaluation.per_image_overlap.BINS", bins)
    found = resampled_overlap(images, seed=3, lowest=0.01, highest=0.3, count=30)
    assert found is not None
    assert found[0] == pytest.approx(per_image_overlap(images, 0.01, 0.3).mean())
    anomalous = [mask.any() for _, mask in images]
    drawn = np.concatenate(list(resamples(anomalous, seed=3, count=30)), axis=1).T.astype(int)
    for ours, weights in zip(found[1], drawn, strict=True):
        again = [own for own, times in zip(images, weights, strict=True) for _ in range(times)]
        expected = per_image_overlap(again, 0.01, 0.3).mean()
        assert ours == pytest.approx(expected, abs=1e-12 if bins > 300 else 0.02)
