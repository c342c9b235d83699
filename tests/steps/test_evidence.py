"""Detectors on patches as runs: one extraction, scores, heat maps, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from category_facts import FREE
from program import Outcome, Program
from sklearn.metrics import roc_auc_score

from gad_bench import Detector
from gad_bench.data.augmentation import Rotations
from gad_bench.features import extraction
from gad_bench.features.extraction import read_input

DETECTORS = [
    *("padim", "patch_gaussian", "patchcore", "patchcore_anomalib"),
    *("patch_knn", "patch_whitened_knn", "patch_subspace", "dfm"),
]
IMAGES = ("dataset.train=12", "dataset.test_good=4", "dataset.test_defective=2")
BANK = ("backbone.input_size=64", "backbone.octaves=3", "blocks.indices=[2,3]")
TINY = ("experiment=demo", "tracking=none", "runtime=torch", *IMAGES, *BANK)
PIXELS = ("pixel_auroc", "pixel_ap", "aupro", "pixel_f1", "auroc_heat_maximum")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small demo, and a cache, of their own."""
    folder = tmp_path_factory.mktemp("patches")
    return [f"dataset.root={folder / 'demo'}", f"cache_dir={folder / 'cache'}"]


def run(program: Program, places: list[str], *more: str) -> Outcome:
    outcome = program(*TINY, *places, *more)
    assert outcome.status == 0, outcome.errors
    return outcome


def refused(program: Program, places: list[str], *more: str) -> str:
    outcome = program(*TINY, *places, *more)
    assert outcome.status == 2
    lines = outcome.errors.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_one_sweep_over_all_detectors_reads_each_image_once(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    read_image = extraction.read_image
    monkeypatch.setattr(
        extraction, "read_image", lambda path: read.append(path) or read_image(path)
    )
    places = [f"dataset.root={tmp_path / 'demo'}", f"cache_dir={tmp_path / 'cache'}"]
    sweep = [f"detector=gaussian,{','.join(DETECTORS)}", "maps.keep=[1,2,3]", "figures=false"]
    outcome = program("-m", *TINY, *places, *sweep)
    assert outcome.status == 0, outcome.errors
    assert len(outcome.runs) == 1 + len(DETECTORS)
    assert len(read) == len(set(read)) > 0
    found = [json.loads((folder / "metrics.json").read_text()) for folder in outcome.runs]
    assert [metrics["cache_hit"] for metrics in found] == [False] + [True] * len(DETECTORS)
    for folder, metrics in zip(outcome.runs[1:], found[1:], strict=True):
        scores = pd.read_csv(folder / "scores.csv")
        assert list(scores) == ["path", "label", "defect", "score", "p_value", "heat_maximum"]
        assert metrics["auroc"] == pytest.approx(roc_auc_score(scores["label"], scores["score"]))
        assert not [key for key in metrics if "_block_" in key]
        assert all(0 <= metrics[key] <= 1 for key in PIXELS)
        assert metrics["images_without_mask"] == 0


def test_a_run_draws_all_but_the_blocks(program: Program, places: list[str]) -> None:
    folder = run(program, places, "detector=padim", "threshold.fpr=0.5").runs[-1]
    drawn = {path.name for path in folder.glob("*.png")}
    assert drawn == {
        *("calibration.png", "contact_sheet.png", "curves.png"),
        *("histogram.png", "localisation.png"),
    }


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_saved_detector_scores_as_its_run_did_with_heat_maps_and_p_values(
    program: Program, places: list[str], detector: str
) -> None:
    scores = run(program, places, f"detector={detector}", "figures=false", "save=it").scores
    found = Detector.load("it").predict(list(scores["path"]))
    np.testing.assert_allclose(found.scores, scores["score"], rtol=1e-9)
    np.testing.assert_allclose(found.p_values, scores["p_value"])
    assert found.blocks == {}
    assert found.heat_maps is not None
    assert len(found.heat_maps.grids) == len(scores)
    assert Detector.load("it").predict(scores["path"][0], heat_maps=False).heat_maps is None
    assert Detector.load("it").predict([]).scores.shape == (0,)


def test_half_precision_is_that_of_prediction_too(program: Program, places: list[str]) -> None:
    more = ["detector=padim", "maps.precision=float16", "figures=false", "save=it"]
    scores = run(program, places, *more).scores
    found = Detector.load("it").predict(list(scores["path"]))
    np.testing.assert_allclose(found.scores, scores["score"], rtol=1e-9)


def test_with_all_folds_metrics_are_the_folds_means(program: Program, places: list[str]) -> None:
    folds = ["detector=patch_gaussian", "contamination=0.1", "threshold=conformal"]
    cross = run(program, places, *folds, "fold=cross", "fold.n_splits=2")
    singles = [
        run(program, places, *folds, "fold.n_splits=2", f"fold.index={index}", "figures=false")
        for index in range(2)
    ]
    for key in ("auroc", *PIXELS):
        assert cross.metrics[key] == pytest.approx(np.mean([one.metrics[key] for one in singles]))
    assert (cross.runs[0] / "localisation.png").exists()


def test_a_saved_detector_is_evaluated_with_pixel_metrics(
    program: Program, places: list[str]
) -> None:
    from gad_bench.evaluate import main

    trained = run(program, places, "detector=patchcore", "figures=false", "save=it")
    same = [*IMAGES, *places, "dataset=demo", "category=wood", "tracking=none"]
    assert main(["detector=it", "output=evaluated", *same]) == 0
    found = json.loads(Path("evaluated/metrics.json").read_text())
    for key in ("auroc", *PIXELS):
        assert found[key] == pytest.approx(trained.metrics[key])
    assert found["cache_hit"] is False  # of the test images alone
    assert Path("evaluated/localisation.png").exists()


@pytest.mark.parametrize("seen", ["input=rectangle", "input=tiles"])
def test_rotated_training_images_are_known_where_the_input_is_no_square(
    program: Program, tmp_path: Path, seen: str
) -> None:
    generator = np.random.default_rng(0)
    for name in ["train/good/0", "train/good/1", "test/good/2", "test/bad/3"]:
        path = tmp_path / "oblong" / "part" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), generator.integers(0, 256, (64, 128, 3), np.uint8))
    turns = ["augmentation=rotations", "augmentation.angles=[0,90]"]
    data = ["dataset=folder", f"dataset.root={tmp_path / 'oblong'}", "category=part", "fold=full"]
    outcome = program(
        *(*data, "backbone=filterbank", "backbone.input_size=64", "backbone.octaves=3", seen),
        *("detector=patch_knn", *turns, "tracking=none", "figures=false", "save=turned"),
        *("runtime=torch", f"cache_dir={tmp_path / 'cache'}"),
    )
    assert outcome.status == 0, outcome.errors
    detector = Detector.load("turned")
    size = detector.scorer.backbone.image_size()
    assert size == (64, 128)
    image = read_input(str(tmp_path / "oblong/part/train/good/1.png"), size)
    turned = Rotations(angles=[0, 90]).augment(image, "", 1, FREE)
    assert detector.predict([image, turned]).scores == pytest.approx([0, 0], abs=1e-9)
    assert detector.predict(turned[:, ::-1].copy()).scores[0] > 1e-4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["augmentation=rotations", "augmentation.angles=[0,360]"], "must be different turns"),
        (["localisation=padim"], "localisation= does not go with a detector on patches"),
        (["explanation=components"], "explanation= does not go with a detector on patches"),
        (["embedding=pca"], "embedding= does not go with a detector on patches"),
        (["detector.blocks=[2,9]"], "there is no block 9; this backbone's blocks are 0 to 3"),
        (["maps.keep=[4]"], "maps.keep=[4]: there is no block 4"),
        (["detector.share=0"], "detector.share must lie in (0, 1]"),
        (["detector.share=1.5"], "detector.share must lie in (0, 1]"),
        (["detector.memory_limit=1e-6"], "more than detector.memory_limit=1e-06"),
        (["detector.sigma=-1"], "detector.sigma must lie in"),
        (["maps.limit=1e-6", "backbone.orientations=4"], "more than maps.limit=1e-06"),
        (["threshold=gaussian"], "threshold=gaussian needs a Mahalanobis distance"),
    ],
)
def test_what_is_impossible_is_one_line(
    program: Program, places: list[str], more: list[str], message: str
) -> None:
    assert message in refused(program, places, "detector=patchcore", *more)


def test_of_rotated_training_images_a_rotated_one_is_known(
    program: Program, places: list[str]
) -> None:
    turns = ["augmentation=rotations", "augmentation.angles=[0,90]"]
    knn = ["detector=patch_knn", "contamination=0.1", "figures=false"]
    run(program, places, *knn, "save=plain")
    assert run(program, places, *knn, *turns, "save=turned").metrics["cache_hit"] is False
    assert run(program, places, *knn, *turns).metrics["cache_hit"] is True
    banks = [Detector.load(name).scorer.model.scorer.bank for name in ("plain", "turned")]
    assert len(banks[1].entries) == 2 * len(banks[0].entries)
    good = sorted(Path(places[0].partition("=")[2]).glob("*/wood/train/good/*"))
    kept = Detector.load("turned").predict(list(map(str, good))).scores.argmin()
    image = np.rot90(read_input(str(good[kept]), 64)).copy()
    scores = [Detector.load(name).predict(image).scores[0] for name in ("plain", "turned")]
    assert scores[1] == pytest.approx(0, abs=1e-9)
    assert scores[0] > 1e-4
