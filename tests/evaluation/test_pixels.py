"""Pixel metrics, held against scikit-learn's and a plain per-region overlap."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import Images, some_images
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from gad_bench.evaluation import pixels
from gad_bench.evaluation.pixels import pixel_metrics


def plain_aupro(images: Images, limit: float) -> float:
    """The definition, word by word: every threshold, every region."""
    everywhere = np.concatenate([heat.ravel() for heat, _ in images])
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(everywhere)[::-1]:
        good = [(heat >= threshold)[~mask] for heat, mask in images]
        rates.append(float(np.concatenate(good).mean()))
        overlaps.append(float(np.mean(list(_overlaps(images, float(threshold))))))
    reached = np.searchsorted(rates, limit)
    at_limit = np.interp(limit, rates, overlaps) if rates[reached] > limit else overlaps[reached]
    inside = np.array(rates) < limit
    x = np.append(np.array(rates)[inside], limit)
    y = np.append(np.array(overlaps)[inside], at_limit)
    return float(np.trapezoid(y, x) / limit)


def _overlaps(images: Images, threshold: float) -> list[float]:
    shares = []
    for heat, mask in images:
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        shares += [(heat[labels == label] >= threshold).mean() for label in range(1, count + 1)]
    return shares


def flat(images: Images) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    return (
        np.concatenate([mask.ravel() for _, mask in images]),
        np.concatenate([heat.ravel() for heat, _ in images]),
    )


HARD = {
    "distinct values": some_images(0),
    "many ties": some_images(1, levels=5),
    "two values": some_images(2, levels=1),
    "blind map": some_images(3, gain=0.0),
    "inverted map": [(-heat, mask) for heat, mask in some_images(4)],
    "huge and tiny": [(heat**40 * np.float32(1e20), mask) for heat, mask in some_images(5)],
    "constant map": [(np.ones_like(heat), mask) for heat, mask in some_images(6)],
}


@pytest.mark.parametrize("images", HARD.values(), ids=HARD.keys())
def test_areas_equal_scikit_learns(images: Images) -> None:
    found = pixel_metrics(images)
    assert found["pixel_auroc"] == pytest.approx(roc_auc_score(*flat(images)), abs=1e-12)
    assert found["pixel_ap"] == pytest.approx(average_precision_score(*flat(images)), abs=1e-12)


@pytest.mark.parametrize("images", HARD.values(), ids=HARD.keys())
def test_no_threshold_has_a_higher_f1(images: Images) -> None:
    truth, heat = flat(images)
    found = pixel_metrics(images)
    precision, recall, _ = precision_recall_curve(truth, heat)
    with np.errstate(invalid="ignore"):
        best = np.nanmax(2 * precision * recall / (precision + recall))
    assert found["pixel_f1"] == pytest.approx(best, abs=1e-12)
    assert f1_score(truth, heat >= found["pixel_f1_threshold"]) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("images", HARD.values(), ids=HARD.keys())
def test_aupro_equals_the_plain_definition(images: Images) -> None:
    assert pixel_metrics(images)["aupro"] == pytest.approx(plain_aupro(images, 0.3), abs=1e-12)


def test_figures_do_not_depend_on_the_blocks_that_pixels_pass_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once = pixel_metrics(some_images(7, levels=50))
    monkeypatch.setattr(pixels, "BLOCK", 1000)
    assert pixel_metrics(some_images(7, levels=50)) == pytest.approx(at_once, abs=1e-15)


def test_images_may_differ_in_size() -> None:
    images = [some_images(8)[1], *[(heat[:9, :7], mask[:9, :7]) for heat, mask in some_images(9)]]
    assert pixel_metrics(images)["pixel_auroc"] == pytest.approx(roc_auc_score(*flat(images)))


def test_a_map_that_equals_the_mask_is_perfect() -> None:
    images = [(mask.astype(np.float32), mask) for _, mask in some_images(10)]
    perfect = dict.fromkeys(["pixel_auroc", "pixel_ap", "aupro", "pixel_f1"], 1.0)
    perfect["pixel_f1_threshold"] = 1.0
    assert pixel_metrics(images) == pytest.approx(perfect)


def test_aupro_counts_a_small_defect_as_much_as_a_large_one() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[4:, 4:] = True
    heat = np.zeros((10, 10), np.float32)
    heat[4:, 4:] = 1
    assert pixel_metrics([(heat, mask)])["aupro"] == pytest.approx((1 + 0.3 / 2) / 2)


def test_pixels_that_touch_at_a_corner_are_one_defect() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[1, 1] = mask[2, 1] = True
    heat = np.zeros((10, 10), np.float32)
    heat[0, 0] = 1
    assert pixel_metrics([(heat, mask)])["aupro"] == pytest.approx(plain_aupro([(heat, mask)], 0.3))


@pytest.mark.parametrize("defective", [False, True])
def test_pixels_of_one_kind_give_no_figure(defective: bool) -> None:
    images = [(heat, np.full_like(mask, defective)) for heat, mask in some_images(11)]
    assert pixel_metrics(images) == {}


@pytest.mark.parametrize("limit", [0.05, 0.7])
def test_aupro_up_to_any_limit(limit: float) -> None:
    images = some_images(3)
    found = pixel_metrics(images, [0.3, limit])
    assert found[f"aupro_{limit}"] == pytest.approx(plain_aupro(images, limit), rel=1e-6)
    assert found["aupro"] == pixel_metrics(images)["aupro"]
