"""Intervals of the figures by pixel, held against drawing images and measuring them anew."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import Images, some_images

from gad_bench.evaluation import pixel_intervals
from gad_bench.evaluation.intervals import interval, resamples, with_intervals
from gad_bench.evaluation.pixel_intervals import resampled_pixel_metrics
from gad_bench.evaluation.pixels import pixel_metrics

FIGURES = ("pixel_auroc", "pixel_ap", "aupro", "aupro_0.05", "pixel_f1")
LIMITS = (0.3, 0.05)


def drawn_anew(images: Images, count: int) -> dict[str, tuple[float, float]]:
    anomalous = [mask.any() for _, mask in images]
    found = []
    for weights in np.concatenate(list(resamples(anomalous, seed=3, count=count)), axis=1).T:
        drawn = zip(images, weights.astype(int), strict=True)
        again = [image for image, times in drawn for _ in range(times)]
        found.append(pixel_metrics(again, LIMITS))
    return {name: interval([own[name] for own in found]) for name in FIGURES}


@pytest.mark.parametrize(("levels", "tolerance"), [(12, 1e-12), (None, 0.004)])
def test_they_are_those_of_drawing_images(levels: int | None, tolerance: float) -> None:
    images = some_images(0, levels=levels, gain=0.6)
    found = with_intervals(*resampled_pixel_metrics(images, seed=3, limits=LIMITS, count=40))
    for name, ends in drawn_anew(images, 40).items():
        ours = found[f"{name}_ci_low"], found[f"{name}_ci_high"]
        assert ours == pytest.approx(ends, abs=tolerance)
    plain = pixel_metrics(images, LIMITS)
    assert {name: found[name] for name in plain} == plain


def test_bins_are_fewer_than_values_and_coarse_ones_come_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = some_images(1, gain=0.6)
    fine = with_intervals(*resampled_pixel_metrics(images, seed=0, count=100))
    monkeypatch.setattr(pixel_intervals, "BINS", 60)
    coarse = with_intervals(*resampled_pixel_metrics(images, seed=0, count=100))
    assert coarse != fine
    assert coarse == pytest.approx(fine, abs=0.02)


def test_images_of_one_kind_have_figures_and_no_interval() -> None:
    defective = [image for image in some_images(0) if image[1].any()]
    assert resampled_pixel_metrics(defective, seed=0) == (pixel_metrics(defective), {})
    assert resampled_pixel_metrics(some_images(0)[::2], seed=0) == ({}, {})
