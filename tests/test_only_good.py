"""A line that starts up has good images and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from program import Outcome, Program

from gad_bench import Detector

ALWAYS = {"metrics.json", "scores.csv", "config.yaml", "histogram.png", "contact_sheet.png"}
BOTH = {"curves.png", "blocks.png", "block_curves.png", "localisation.png", "explanation.png"}


def pictures(folder: Path, count: int, start: int = 0) -> None:
    folder.mkdir(parents=True)
    for number in range(start, start + count):
        noise = np.random.default_rng(number).integers(80, 120, (48, 64, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), noise)


def plain(root: Path) -> None:
    pictures(root / "part", 24)


def validation(root: Path) -> None:
    pictures(root / "part" / "train" / "good", 20)
    pictures(root / "part" / "validation" / "good", 4, 30)


def good_tests(root: Path) -> None:
    pictures(root / "part" / "train" / "good", 24)
    pictures(root / "part" / "test" / "good", 5, 30)


def bad_tests(root: Path) -> None:
    pictures(root / "part" / "train" / "good", 24)
    pictures(root / "part" / "test" / "bent", 5, 30)


Make = Callable[[Path], None]


def ran(program: Program, root: Path, *overrides: str, tracking: str = "none") -> Outcome:
    own = ["dataset=folder", f"dataset.root={root}", "category=part", f"tracking={tracking}"]
    outcome = program("backbone=filterbank", "blocks.indices=[1,2]", *own, *overrides)
    assert outcome.status == 0, outcome.errors
    assert "Traceback" not in outcome.output + outcome.errors
    return outcome


@pytest.mark.parametrize("fold", ["full", "kfold", "cross"])
@pytest.mark.parametrize(
    ("make", "told", "tested"),
    [
        (plain, "no test images, so nothing is measured", 0),
        (validation, "no test images, so nothing is measured", 0),
        (good_tests, "no anomalous test images, so AUROC, average precision and the share", 5),
        (bad_tests, "no good test images, so AUROC, average precision and the false pos", 5),
    ],
)
def test_a_run_is_calibrated_drawn_and_says_what_it_does_not_measure(
    program: Program, tmp_path: Path, make: Make, told: str, tested: int, fold: str
) -> None:
    make(tmp_path / "images")
    outcome = ran(program, tmp_path / "images", f"fold={fold}")
    assert told in outcome.output
    assert len(outcome.scores) == tested * (5 if fold == "cross" else 1)
    assert not any(key.startswith(("auroc", "aupr")) for key in outcome.metrics)
    assert outcome.metrics["images_held_out"] == (24 if fold != "kfold" else outcome_of(make))
    assert ("fpr_conformal" in outcome.metrics) == (make is good_tests)
    assert ("tpr_conformal" in outcome.metrics) == (make is bad_tests)
    files = {path.name for path in outcome.runs[-1].iterdir()}
    assert files >= ALWAYS
    assert not files & BOTH


def outcome_of(make: Make) -> int:
    """How many images the first of five folds holds out."""
    return 4 + 4 if make is validation else 5


@pytest.mark.parametrize("make", [plain, good_tests])
def test_heat_maps_and_explanations_are_no_obstacle(
    program: Program, tmp_path: Path, make: Make
) -> None:
    make(tmp_path / "images")
    extras = ["localisation=mahalanobis", "localisation.grid=8", "explanation=components"]
    extras.append("embedding=tsne")
    outcome = ran(program, tmp_path / "images", *extras, "fold=full", "save=it")
    found = Detector.load("it").predict(str(next((tmp_path / "images").rglob("*.png"))))
    assert found.heat_maps is not None
    assert (outcome.runs[-1] / "embedding.png").exists()
    assert not any("pixel" in key for key in outcome.metrics)


def test_what_is_saved_stops_another_part_and_few_good_ones(
    program: Program, tmp_path: Path
) -> None:
    plain(tmp_path / "images")
    outcome = ran(program, tmp_path / "images", "fold=full", "save=it")
    assert "by 24 good images, each held out of one of 5 further fits" in outcome.output
    pictures(tmp_path / "fresh", 40, 100)
    black = np.zeros((48, 64, 3), np.uint8)
    found = Detector.load("it").predict([*map(str, sorted((tmp_path / "fresh").iterdir())), black])
    assert found.anomalous is not None
    assert found.anomalous[-1]
    assert found.anomalous[:-1].sum() <= 8


def test_a_detector_without_a_threshold_says_why(program: Program, tmp_path: Path) -> None:
    plain(tmp_path / "images")
    overrides = ["fold=full", "fold.calibration_folds=0", "save=it"]
    outcome = ran(program, tmp_path / "images", *overrides)
    assert "nothing to decide by, so no decisions: no good image was held out" in outcome.output
    assert not (outcome.runs[-1] / "histogram.png").exists()


def test_a_sweep_with_and_without_defects_is_recorded_resumed_and_reported(
    program: Program, tmp_path: Path
) -> None:
    root = tmp_path / "images"
    good_tests(root)
    shutil.copytree(root / "part", root / "whole")
    pictures(root / "whole" / "test" / "bent", 5, 60)
    sweep = ["-m", "backbone=filterbank", "blocks.indices=[1]", "figures=false", "fold=full"]
    sweep += ["dataset=folder", f"dataset.root={root}", "category=part,whole"]
    for state in ("finished", "restored"):
        outcome = program(*sweep, "resume=true")
        assert outcome.status == 0, outcome.errors
        assert "Traceback" not in outcome.output + outcome.errors
        assert f"2 {state}" in outcome.output
    summary = outcome.runs[-1].parent / "summary"
    assert (summary / "report.html").is_file()
    tables = "".join(path.read_text() for path in summary.glob("*.md"))
    assert "1 of 2" in tables or "0 of 1" in tables
