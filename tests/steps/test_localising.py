"""Localisation as a choice of a run."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from program import Outcome, Program
from sklearn.metrics import roc_auc_score

DEMO = ("experiment=demo", "tracking=none", "dataset.train=20", "dataset.test_good=6")
SMALL = (*DEMO, "dataset.test_defective=3", "fold=full", "localisation.grid=16")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "aupro", "pixel_f1", "auroc_heat_maximum")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small demo data set of its own."""
    return f"dataset.root={tmp_path_factory.mktemp('demo')}"


def find(program: Program, way: str, demo: str, *more: str) -> Outcome:
    outcome = program(*SMALL, demo, f"localisation={way}", *more)
    assert outcome.status == 0, outcome.errors
    return outcome


@pytest.mark.parametrize(
    ("way", "more"), [("mahalanobis", ()), ("padim", ("localisation.dimensions=30",))]
)
def test_a_run_measures_and_draws_its_heat_maps(
    program: Program, demo: str, way: str, more: tuple[str, ...]
) -> None:
    outcome = find(program, way, demo, *more)
    assert all(0 <= outcome.metrics[name] <= 1 for name in PIXEL_METRICS)
    assert outcome.metrics["pixel_auroc"] > 0.85
    assert outcome.metrics["images_without_mask"] == 0
    scores = outcome.scores
    found = roc_auc_score(scores["label"], scores["heat_maximum"])
    assert found == pytest.approx(outcome.metrics["auroc_heat_maximum"])
    assert f"AUROC of images by their map's maximum {100 * found:.1f} %" in outcome.output
    assert f"AUPRO {100 * outcome.metrics['aupro']:.1f} %" in outcome.output
    drawn = cv2.imread(str(outcome.runs[-1] / "localisation.png"))
    assert drawn is not None
    assert drawn.std() > 20


def test_the_images_own_scores_stay_the_same(program: Program, demo: str) -> None:
    with_maps = find(program, "mahalanobis", demo).scores
    without = program(*SMALL[:-1], demo)
    assert without.scores.equals(with_maps.drop(columns="heat_maximum"))
    assert not set(PIXEL_METRICS) & set(without.metrics)
    assert not (without.runs[-1] / "localisation.png").exists()


@pytest.mark.parametrize("kind", ["empty", "none"])
def test_images_whose_mask_shows_nothing_are_left_out_and_told(
    program: Program, tmp_path: Path, kind: str
) -> None:
    root = goods(tmp_path, kind)
    outcome = program(
        "experiment=demo", "dataset=folder", f"dataset.root={root}", "category=goods",
        "tracking=none", "fold=full", "localisation=mahalanobis", "localisation.grid=16",
    )  # fmt: skip
    assert outcome.status == 0, outcome.errors
    assert outcome.metrics["images_without_mask"] == 1
    assert "1 anomalous images have no mask" in outcome.output + outcome.errors
    assert outcome.metrics["pixel_auroc"] > 0.9


def test_without_any_mask_there_are_maps_but_no_pixel_metrics(
    program: Program, tmp_path: Path
) -> None:
    root = goods(tmp_path, "none", drawn=0)
    outcome = program(
        "experiment=demo", "dataset=folder", f"dataset.root={root}", "category=goods",
        "tracking=none", "fold=full", "localisation=mahalanobis", "localisation.grid=16",
    )  # fmt: skip
    assert outcome.status == 0, outcome.errors
    assert "pixel_auroc" not in outcome.metrics
    assert (outcome.runs[-1] / "localisation.png").exists()


def goods(folder: Path, kind: str, drawn: int = 2) -> Path:
    """MVTec layout, noise with a dark spot; the last spot's mask is empty or not there."""
    generator = np.random.default_rng(0)
    for index in range(20):
        image = generator.normal(150, 10, (48, 64)).clip(0, 255).astype(np.uint8)
        part = "train/good" if index < 15 else "test/good" if index < 17 else "test/spot"
        if part == "test/spot":
            image[20:30, 40:50] = 0
            mask = np.zeros_like(image)
            if index < 17 + drawn:
                mask[20:30, 40:50] = 255
            if mask.any() or kind == "empty":
                write(folder / "goods/ground_truth/spot" / f"{index:03}_mask.png", mask)
        write(folder / "goods" / part / f"{index:03}.png", image)
    return folder


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def test_a_block_that_is_not_there_is_refused(program: Program, demo: str) -> None:
    outcome = program(*SMALL, demo, "localisation=mahalanobis", "localisation.blocks=[7]")
    assert outcome.status == 2
    assert "there is no block 7" in outcome.errors
