"""sPRO, held against its definition at every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from plain_overlap import HARD, Images, plain_area

from gad_bench.base.errors import UserError
from gad_bench.evaluation.intervals import resamples
from gad_bench.evaluation.pixels import Map, pixel_metrics
from gad_bench.evaluation.saturated_overlap import (
    Defect,
    resampled_saturated_overlap,
    saturated_overlap,
)


def one_defect(images: Images, share: float) -> list[tuple[Map, list[Defect]]]:
    """Each image's mask as one defect, saturated by a share of it."""
    return [
        (heat, [Defect(mask, share * mask.sum())] if mask.any() else []) for heat, mask in images
    ]


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("share", [1.0, 0.35])
@pytest.mark.parametrize("images", HARD.values(), ids=HARD)
def test_overlap_saturates(images: Images, share: float, limit: float) -> None:
    def overlap(threshold: float) -> float:
        shares = [
            min((heat[mask] >= threshold).sum() / (share * mask.sum()), 1)
            for heat, mask in images
            if mask.any()
        ]
        return float(np.mean(shares))

    (found,) = saturated_overlap(one_defect(images, share), [limit]).values()
    assert found == pytest.approx(plain_area(images, overlap, limit), rel=1e-9, abs=1e-12)


def test_defects_may_overlap_and_each_counts_the_same() -> None:
    images = HARD["blobs"]
    heat, mask = images[1]
    large, small = Defect(mask, 20), Defect(mask & (np.arange(31) < 12), 5)
    others = [(own, []) for own, _ in images[::2]]

    def overlap(threshold: float) -> float:
        reached = [(heat[own.mask] >= threshold).sum() / own.saturation for own in (large, small)]
        return float(np.minimum(reached, 1).mean())

    found = saturated_overlap([*others, (heat, [large, small])], [0.3])["spro"]
    assert found == pytest.approx(plain_area([*images[::2], images[1]], overlap, 0.3), rel=1e-9)


def test_without_saturation_it_is_the_per_region_overlap_of_one_region() -> None:
    images = HARD["one pixel"]
    found = saturated_overlap(one_defect(images, 1.0), [0.3, 0.05])
    expected = pixel_metrics(images, [0.3, 0.05])
    assert found["spro"] == pytest.approx(expected["aupro"])
    assert found["spro_0.05"] == pytest.approx(expected["aupro_0.05"])


def test_a_saturation_beyond_the_area_is_the_area() -> None:
    images = HARD["blobs"]
    all_of_it, more = (saturated_overlap(one_defect(images, share), [0.3]) for share in (1.0, 7.0))
    assert more == all_of_it


def test_no_defect_gives_no_figure() -> None:
    assert saturated_overlap([(heat, []) for heat, _ in HARD["blobs"]], [0.3]) == {}


def test_no_pixel_without_a_defect_gives_no_figure() -> None:
    assert saturated_overlap(one_defect(HARD["all anomalous"][1:], 1.0), [0.3]) == {}


def test_a_saturation_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="saturation must be more than 0, not 0"):
        saturated_overlap([(np.ones((2, 2), np.float32), [Defect(np.ones((2, 2), bool), 0)])], [1])


@pytest.mark.parametrize("limit", [0.0, 1.5])
def test_a_limit_that_is_no_rate_is_refused(limit: float) -> None:
    with pytest.raises(UserError, match=r"must lie in \(0, 1\]"):
        saturated_overlap([], [limit])


def test_each_resamples_area_is_that_of_its_images() -> None:
    images = one_defect(HARD["blobs"], 0.35)
    found, over = resampled_saturated_overlap(images, [0.3, 0.05], seed=3, count=30)
    assert found == saturated_overlap(images, [0.3, 0.05])
    drawn = resamples([len(defects) for _, defects in images], seed=3, count=30)
    for number, weights in enumerate(np.concatenate(list(drawn), axis=1).T.astype(int)):
        again = [own for own, times in zip(images, weights, strict=True) for _ in range(times)]
        expected = saturated_overlap(again, [0.3, 0.05])
        ours = {name: over[name][number] for name in expected}
        assert ours == pytest.approx(expected, abs=0.004)
