"""The main job, as a user runs it, against a calculation that shares no code with it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from cluster import without_time
from numpy.typing import NDArray
from program import Program
from recorded import artifacts_of, recorded_runs, store_in
from sklearn.covariance import LedoitWolf
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import KFold
from torch import nn

from gad_bench.config import compose_config
from gad_bench.features.interface import Encoder
from gad_bench.features.source import FeatureSource
from gad_bench.steps.parts import Parts
from gad_bench.tracking.mlflow_page import plain_metric_name

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
B4_MODULES = ["bn1", *(f"blocks.{stage}" for stage in range(7)), "bn2"]
MOBILENET_STAGES = 5
FILES = {
    "metrics.json",
    "scores.csv",
    "missed.csv",
    "config.yaml",
    "curves.png",
    "histogram.png",
    "blocks.png",
    "block_curves.png",
    "contact_sheet.png",
    "calibration.png",
}
STAGES = [
    *("imports", "config", "images", "tracking store", "features", "fit", "metrics", "figures"),
    "record",
]
DEMO = ["experiment=demo", "dataset.train=20", "dataset.test_good=6", "dataset.test_defective=3"]


@pytest.fixture(scope="module")
def toothbrushes(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Twenty good training images, eight good and eight defective test images, and their list."""
    folder = assets / "images" / "toothbrush"
    rows = [
        {"path": str(path), "label": label, "split": split}
        for kind, split, label, count in (
            ("train/good", "train", 0, 10),
            ("test/good", "test", 0, 4),
            ("test/defective", "test", 1, 4),
        )
        for path in sorted((folder / kind).iterdir())[:count]
    ]
    table = pd.DataFrame(rows)
    table.attrs["csv"] = str(tmp_path_factory.mktemp("list") / "toothbrush.csv")
    table.to_csv(table.attrs["csv"], index=False)
    return table


def images(paths: Sequence[str], size: int) -> torch.Tensor:
    squares = [cv2.resize(cv2.imread(path)[..., ::-1], (size, size)) for path in paths]
    scaled = (np.stack(squares) / 255 - MEAN) / STD
    return torch.from_numpy(scaled).permute(0, 3, 1, 2).float()


def network(name: str, weights: Path) -> nn.Module:
    model: nn.Module = timm.create_model(name)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def pooled(maps: Sequence[torch.Tensor]) -> list[NDArray[Any]]:
    return [block.double().mean((2, 3)).numpy() for block in maps]


def b4_features(weights: Path, paths: Sequence[str]) -> list[NDArray[Any]]:
    """Collect the named modules' outputs by hooks, in plain PyTorch, four images at a time."""
    model, kept = network("tf_efficientnet_b4", weights), dict[str, torch.Tensor]()
    for name in B4_MODULES:
        model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: kept.update({name: output})
        )
    parts = []
    with torch.inference_mode():
        for start in range(0, len(paths), 4):
            model(images(paths[start : start + 4], 380))
            parts.append(pooled([kept[name] for name in B4_MODULES]))
    return [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]


def distances(features: NDArray[Any], train: NDArray[Any], test: NDArray[Any]) -> NDArray[Any]:
    """Return scikit-learn's Mahalanobis distance, which it gives squared."""
    return np.sqrt(LedoitWolf().fit(features[train]).mahalanobis(features[test]))


def test_efficientnet_b4_gives_the_auroc_of_an_independent_calculation(
    program: Program, assets: Path, toothbrushes: pd.DataFrame
) -> None:
    weights = assets / "weights" / "tf_efficientnet_b4.pth"
    outcome = program(
        "backbone=efficientnet-b4",
        f"backbone.weights={weights}",
        "dataset=folder",
        f"dataset.csv={toothbrushes.attrs['csv']}",
        "category=toothbrush",
        "fold.index=1",
        "tracking=none",
        "figures=false",
    )
    assert outcome.status == 0, outcome.errors
    table = toothbrushes.sort_values(["split", "path"], ascending=[False, True])
    labels = table["label"].to_numpy()[10:]
    folds = list(KFold(5, shuffle=True, random_state=0).split(np.arange(10)))
    features = b4_features(weights, list(table["path"]))
    blocks = [distances(block, folds[1][0], np.arange(10, 18)) for block in features]
    expected = np.mean(blocks, axis=0)
    assert list(outcome.scores["path"]) == list(table["path"])[10:]
    np.testing.assert_allclose(outcome.scores["score"], expected, rtol=1e-3)
    assert outcome.metrics["images_train"] == 8
    assert outcome.metrics["auroc"] == pytest.approx(roc_auc_score(labels, expected), abs=1e-6)
    assert outcome.metrics["aupr"] == pytest.approx(
        average_precision_score(labels, expected), abs=1e-6
    )
    for number, block in enumerate(blocks):
        auroc = roc_auc_score(labels, block)
        assert outcome.metrics[f"auroc_block_{number}"] == pytest.approx(auroc, abs=1e-6)


def test_a_whole_category_with_any_timm_model_gives_the_auroc_of_an_independent_calculation(
    program: Program, assets: Path
) -> None:
    weights = assets / "weights" / "mobilenetv2_100.pth"
    folder = assets / "images" / "toothbrush"
    outcome = program(
        "backbone=timm",
        "backbone.name=mobilenetv2_100",
        f"backbone.weights={weights}",
        "dataset=folder",
        f"dataset.root={assets / 'images'}",
        "category=toothbrush",
        "fold=full",
        "tracking=none",
        "figures=false",
    )
    assert outcome.status == 0, outcome.errors
    train, good, bad = (
        [str(path) for path in sorted((folder / part).iterdir())]
        for part in ("train/good", "test/good", "test/defective")
    )
    model = network("mobilenetv2_100", weights)
    with torch.inference_mode():
        maps = model.forward_intermediates(
            images([*train, *good, *bad], 224), intermediates_only=True
        )
    rows = np.arange(len(train)), np.arange(len(train), len(train) + len(good) + len(bad))
    blocks = [distances(features, *rows) for features in pooled(maps)]
    assert len(blocks) == MOBILENET_STAGES
    labels = [0] * len(good) + [1] * len(bad)
    assert outcome.metrics["auroc"] == pytest.approx(
        roc_auc_score(labels, np.mean(blocks, axis=0)), abs=1e-6
    )


def test_a_run_leaves_its_files(program: Program) -> None:
    outcome = program(*DEMO, "tracking=none")
    assert outcome.status == 0, outcome.errors
    (run,) = outcome.runs
    assert {path.name for path in run.iterdir()} >= FILES
    assert list(outcome.scores.columns) == [
        *("path", "label", "defect"),
        *(f"block_{block}" for block in range(6)),
        "score",
        "p_value",
    ]
    assert len(outcome.scores) == outcome.metrics["images_test"] == 6 + 4 * 3
    assert outcome.metrics["images_train"] == 16


def test_the_last_words_tell_what_was_found_and_where(program: Program) -> None:
    outcome = program(*DEMO)
    found, price, rates, missed, time, features, files, viewer = outcome.output.splitlines()[-8:]
    assert f"AUROC {100 * outcome.metrics['auroc']:.1f} %" in found
    assert price.startswith("false alarms on this test set: ")
    assert rates.startswith("threshold for 20 % false alarms: ")
    assert missed.endswith("(missed.csv)")
    assert re.findall(r"(?:: |, )([a-z ]+) \d+\.\d s", time) == STAGES
    assert "features" in features
    assert str(outcome.runs[-1]) in files
    page = "#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=gad_bench"
    command = "mlflow ui --backend-store-uri sqlite:///mlflow.db"
    assert viewer == f"compare runs: {command}, then http://127.0.0.1:5000/{page}"


def test_the_store_is_hit_whatever_does_not_change_the_features(program: Program) -> None:
    program(*DEMO, "tracking=none", "figures=false")
    again = ["fold.index=3", "covariance=diagonal", "blocks.indices=[1,4]", "contamination=0.1"]
    outcome = program(*DEMO, "tracking=none", "figures=false", *again)
    assert outcome.metrics["cache_hit"] is True
    assert outcome.metrics["seconds_extract"] == 0


def test_the_same_config_gives_the_same_numbers(program: Program) -> None:
    first = program(*DEMO, "tracking=none", "figures=false")
    scores, metrics = first.scores, first.metrics
    second = program(*DEMO, "tracking=none", "figures=false")
    pd.testing.assert_frame_equal(scores, second.scores, check_exact=True)
    assert without_time(metrics) == without_time(second.metrics)


def test_mlflow_keeps_what_the_folder_keeps(program: Program) -> None:
    outcome = program(*DEMO, "covariance=diagonal", "fold.index=2")
    uri = store_in(outcome.folder)
    (run,) = recorded_runs(uri)
    held = {plain_metric_name(name): value for name, value in run.data.metrics.items()}
    assert held == pytest.approx({k: float(v) for k, v in outcome.metrics.items()})
    assert {"auroc", "auroc_ci_low", "aupr", "images_train"} <= run.data.metrics.keys()
    assert {"detail/auroc_block_2", "detail/auroc_defect_crack"} <= run.data.metrics.keys()
    assert run.data.params["fold.index"] == "2"
    assert run.data.params["cache_dir"]
    assert run.data.params["covariance"] == run.data.tags["covariance"] == "diagonal"
    assert not [name for name in run.data.params if name.endswith("_target_")]
    expected = {"category": "wood", "backbone": "filterbank", "covariance": "diagonal"}
    expected |= {"fold": "2", "dataset": "demo", "localisation": "none", "runtime": "auto"}
    assert expected.items() <= run.data.tags.items()
    assert {"version.torch", "version.timm", "mlflow.source.git.commit"} <= run.data.tags.keys()
    assert artifacts_of(uri, run) >= FILES


def test_a_failure_to_record_keeps_the_finished_runs_files(program: Program) -> None:
    program(*DEMO)
    folder = Path.cwd() / "mlruns"
    folder.rename("kept")
    folder.write_text("in the way of the artifacts")
    outcome = program(*DEMO)
    assert outcome.status == 1
    assert "Traceback" not in outcome.errors
    assert "could not be recorded" in outcome.errors
    assert str(outcome.runs[-1]) in outcome.errors
    assert {path.name for path in outcome.runs[-1].iterdir()} >= FILES


def test_the_resolved_config_is_kept(program: Program, shared_cache: Path) -> None:
    outcome = program(*DEMO, "tracking=none", "figures=false")
    text = (outcome.runs[-1] / "config.yaml").read_text()
    assert f"cache_dir: {shared_cache}" in text
    assert "${" not in text


MODULES = """
import json, sys
from gad_bench.base.process import Stopwatch

lap, at_imports = Stopwatch.lap, []
def watched(watch, stage):
    lap(watch, stage)
    if stage == "imports":
        at_imports[:] = sys.modules
Stopwatch.lap = watched

sys.argv = ["gad_bench", *sys.argv[1:]]
from gad_bench.__main__ import main
try: main()
except SystemExit as end: assert not end.code
print(json.dumps([*map(sorted, (at_imports, sys.modules))]))
"""


@pytest.fixture(scope="module", params=["1", "2"])
def second_run(
    request: pytest.FixtureRequest, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[set[str], set[str]]:
    """The packages that a second run has imported by the end of its imports, and by its own.

    It is on one core or on two, of which one records.
    """
    import os
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("second_run")
    own = {"GAD_BENCH_CACHE": str(shared_cache), "OMP_NUM_THREADS": request.param}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", MODULES, *DEMO],
            cwd=folder,
            env=os.environ | own,
            capture_output=True,
            text=True,
            check=True,
        )
    early, late = (
        {module.partition(".")[0] for module in modules}
        for modules in json.loads(done.stdout.splitlines()[-1])
    )
    return early, late


def test_a_second_run_imports_no_model_library(second_run: tuple[set[str], set[str]]) -> None:
    assert not {"torch", "timm", "openvino", "sklearn", "torchvision"} & second_run[1]


def test_a_second_runs_libraries_are_imported_before_its_work(
    second_run: tuple[set[str], set[str]],
) -> None:
    early, late = second_run
    of_record = {"mlflow", "sqlalchemy", "alembic"}
    assert {"matplotlib", "scipy", "pandas", "PIL", "cv2"} <= early
    assert of_record <= early or not of_record & late  # else another process has them
    assert len(late - early) < 10


THRESHOLDS = [*DEMO, "tracking=none", "threshold.fpr=0.2", "blocks.indices=[1]"]


def held_out_scores(shared_cache: Path, fold: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return scikit-learn's distances of a fold's held-out and of all test images."""
    config = compose_config([*DEMO, f"cache_dir={shared_cache}", "blocks.indices=[1]"])
    parts = Parts.build(config)
    catalog = parts.dataset.catalog(config.category)
    source = FeatureSource(
        encoder=Encoder(
            backbone=parts.backbone, runtime=parts.runtime, device="auto", batch_size=16
        ),
        blocks=parts.blocks,
        cache_dir=str(shared_cache),
        about={},
    )
    features = source.features(list(catalog["path"])).blocks[1].astype(np.float64)
    train, held_out = list(KFold(5, shuffle=True, random_state=0).split(np.arange(20)))[fold]
    return distances(features, train, held_out), distances(features, train, np.arange(20, 38))


@pytest.mark.parametrize("contamination", [0.0, 0.2])
def test_p_values_are_by_the_folds_images_held_out(
    program: Program, shared_cache: Path, contamination: float
) -> None:
    outcome = program(*THRESHOLDS, f"contamination={contamination}", "figures=false")
    assert outcome.status == 0, outcome.errors
    p_values, scores = outcome.scores["p_value"], outcome.scores["score"]
    assert set((p_values * 5).round(9)) <= {1, 2, 3, 4, 5}
    assert p_values[scores.argsort()].is_monotonic_decreasing
    flagged = p_values <= 0.2
    good = outcome.scores["label"] == 0
    assert outcome.metrics["fpr_conformal"] == pytest.approx(flagged[good].mean())
    assert outcome.metrics["tpr_conformal"] == pytest.approx(flagged[~good].mean())
    assert (scores > outcome.metrics["threshold_conformal"]).tolist() == flagged.tolist()
    if contamination == 0:
        held_out, tested = held_out_scores(shared_cache, 0)
        expected = [(1 + np.sum(held_out >= new)) / 5 for new in tested]
        np.testing.assert_allclose(p_values, expected)


def test_all_folds_give_an_image_one_p_value(program: Program, shared_cache: Path) -> None:
    outcome = program(*THRESHOLDS, "fold=cross")
    assert outcome.status == 0, outcome.errors
    beaten = sum(
        np.sum(held_out[:, None] >= tested, axis=0)
        for held_out, tested in (held_out_scores(shared_cache, fold) for fold in range(5))
    )
    for _, part in outcome.scores.groupby("fold"):
        np.testing.assert_allclose(part["p_value"], (1 + beaten) / 21)
    assert (outcome.runs[-1] / "calibration.png").is_file()
    assert "of the good test images flagged" in outcome.output


def test_where_no_image_is_held_out_on_purpose_there_are_no_p_values(program: Program) -> None:
    full = ["fold=full", "fold.calibration_folds=0"]
    outcome = program(*THRESHOLDS, *full, "covariance=diagonal")
    assert outcome.status == 0, outcome.errors
    assert "p_value" not in outcome.scores
    assert "no validation images" not in outcome.output
    assert not (outcome.runs[-1] / "calibration.png").exists()


@pytest.mark.parametrize("fold", ["kfold", "cross"])
def test_the_missed_images_are_named(program: Program, fold: str) -> None:
    outcome = program(*DEMO, "tracking=none", "figures=false", f"fold={fold}")
    missed = pd.read_csv(outcome.runs[-1] / "missed.csv")
    scores, used = outcome.scores, outcome.metrics["fpr_used"]
    expected = scores[(scores["label"] == 1) & (scores["p_value"] > used)]
    assert list(missed["path"]) == list(
        expected.groupby("path")["score"].mean().sort_values().index
    )
    anomalous = scores.loc[scores["label"] == 1, "path"].nunique()
    assert len(missed) / anomalous == pytest.approx(1 - outcome.metrics["tpr_conformal"])
    first = "/".join(Path(missed["path"][0]).parts[-2:])
    assert f"anomalous images not flagged: {first}" in outcome.output


@pytest.mark.parametrize(
    "ways", [["localisation=mahalanobis"], ["fold=cross", "detector=patch_gaussian"]]
)
def test_every_metric_is_in_the_glossary(program: Program, ways: list[str]) -> None:
    small = ["backbone.input_size=64", "backbone.octaves=2"]
    outcome = program(*DEMO, *small, "tracking=none", "figures=false", *ways)
    assert outcome.status == 0, outcome.errors
    told = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
    for name in outcome.metrics:
        general = re.sub(r"_ci_(low|high)(?=_block|_sigma|$)", "", name)
        general = re.sub(r"(_block|_fold)_\d+$", r"\1_<i>", general)
        general = re.sub(r"_sigma_\d", "_sigma_<n>", general)
        general = re.sub(r"(auroc_defect)_.*", r"\1_<name>", general)
        assert f"`{general}`" in told, name
