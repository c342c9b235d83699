"""A run that learns from labels, and how it says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from program import Program
from recorded import artifacts_of, recorded_runs, store_in
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gad_bench import Detector
from gad_bench.base.errors import UserError
from gad_bench.config import compose_config
from gad_bench.data.fingerprint import fingerprint
from gad_bench.data.split import Rows, Split
from gad_bench.steps.evidence import require_apart
from gad_bench.steps.parts import Parts

DEMO = [
    *("experiment=demo", "backbone.input_size=64", "backbone.octaves=3", "tracking=none"),
    *("dataset.train=12", "dataset.test_good=8", "dataset.test_defective=4"),
]
PROBE = [*DEMO, "detector=supervised_linear_probe"]


def test_a_probes_scores_are_scikit_learns_on_the_stored_features_of_other_images(
    program: Program,
) -> None:
    outcome = program(*PROBE, "fold.index=2", "figures=false", "save=probe")
    assert outcome.status == 0, outcome.errors
    config = compose_config(PROBE)
    parts = Parts.build(config)
    catalog = parts.dataset.catalog("wood")
    stored = parts.feature_source(config, {}).features(list(catalog["path"]))
    values = np.concatenate(list(stored.blocks.values()), axis=1).astype(float)
    labels = catalog["label"].to_numpy()
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(values, labels)
    rows = [test for _, test in folds]
    train = np.concatenate([rows[0], rows[3], rows[4]])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    expected = model.fit(values[train], labels[train]).decision_function(values[rows[2]])
    np.testing.assert_allclose(outcome.scores["score"], expected, rtol=1e-3, atol=1e-3)
    assert list(outcome.scores["path"]) == list(catalog["path"].iloc[rows[2]])
    assert outcome.metrics["auroc"] == pytest.approx(roc_auc_score(labels[rows[2]], expected))
    assert outcome.metrics["images_held_out"] == (labels[rows[1]] == 0).sum()

    detector = Detector.load("probe")
    scores = detector.predict(list(outcome.scores["path"]), heat_maps=False).scores
    np.testing.assert_allclose(scores, outcome.scores["score"], rtol=1e-5)
    about = json.loads((outcome.folder / "probe" / "detector.json").read_text())["about"]
    assert about["supervised"] == "true"


def test_a_supervised_run_says_so_wherever_it_is_met(program: Program) -> None:
    outcome = program(*PROBE, "tracking=mlflow")
    assert outcome.status == 0, outcome.errors
    assert "supervised_linear_probe · filterbank" in outcome.output
    assert outcome.metrics["supervised"] is True
    pictures = [path.name for path in outcome.runs[-1].glob("*.png")]
    assert pictures
    assert all(name.startswith("supervised_") for name in pictures)
    uri = store_in(outcome.folder)
    (run,) = recorded_runs(uri)
    assert run.data.tags["supervised"] == "true"
    assert artifacts_of(uri, run) >= set(pictures)


def test_what_would_labels_buy_is_one_sweep_on_the_same_images(program: Program) -> None:
    detectors = "detector=gaussian,supervised_linear_probe"
    outcome = program("-m", *DEMO, detectors, "fold=stratified", "figures=false")
    assert outcome.status == 0, outcome.errors
    one, other = (json.loads((run / "metrics.json").read_text()) for run in outcome.runs)
    assert one["images_test"] == other["images_test"]
    assert ("supervised" in one, "supervised" in other) == (False, True)
    page = next(outcome.folder.glob("multirun/*/*/summary/report.html")).read_text()
    assert "supervised_linear_probe" in page
    assert "1 supervised: fitted on labelled anomalous images" in page


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["fold=kfold"], "this detector is supervised"),
        (["contamination=0.1"], "leave contamination=0"),
        (["localisation=mahalanobis"], "use localisation=none"),
    ],
)
def test_labels_where_they_do_not_belong_are_refused_in_one_line(
    program: Program, overrides: list[str], message: str
) -> None:
    outcome = program(*PROBE, *overrides)
    assert outcome.status == 2
    assert message in outcome.errors
    assert len(outcome.errors.strip().splitlines()) == 1


@pytest.mark.parametrize("part", ["train", "validation"])
def test_an_image_that_is_seen_under_another_name_is_not_tested(tmp_path: Path, part: str) -> None:
    names = [str(tmp_path / f"{number}.png") for number in range(6)]
    for number, name in enumerate(names):
        Path(name).write_text("the same" if number in (1, 4) else name)
    images = fingerprint(names, tmp_path)
    rows = {"train": [0], "validation": [2]}
    require_apart([Split(test=np.array([4, 5]), **as_rows(rows))], images)
    rows[part].append(1)
    with pytest.raises(UserError, match=r"4\.png is tested and .*1\.png, which is the same image"):
        require_apart([Split(test=np.array([4, 5]), **as_rows(rows))], images)


def as_rows(numbers: dict[str, list[int]]) -> dict[str, Rows]:
    return {name: np.array(chosen) for name, chosen in numbers.items()}


CLASSIFIER = [
    *("dataset=demo", "category=wood", "dataset.train=12", "dataset.test_good=8"),
    *("dataset.test_defective=4", "device=cpu", "detector=supervised_classifier", "backbone=timm"),
    *("backbone.name=test_resnet.r160_in1k", "backbone.pretrained=false", "backbone.input_size=32"),
    *("detector.epochs=2", "detector.batch_size=8", "fold.index=1", "fold.n_splits=3"),
]


def test_a_fine_tuned_network_is_one_more_detector_of_the_harness(program: Program) -> None:
    pytest.importorskip("lightning", reason="the extra train is not installed")
    outcome = program(*CLASSIFIER)
    assert outcome.status == 0, outcome.errors
    catalog = Parts.build(compose_config(CLASSIFIER)).dataset.catalog("wood")
    folds = StratifiedKFold(3, shuffle=True, random_state=0).split(catalog, catalog["label"])
    tested = [test for _, test in folds][1]
    assert list(outcome.scores["path"]) == list(catalog["path"].iloc[tested])
    pictures = {path.name for path in outcome.runs[-1].glob("*.png")}
    assert {"supervised_training.png", "supervised_curves.png"} <= pictures
    assert outcome.metrics["supervised"] is True
    from mlflow.tracking import MlflowClient

    uri = store_in(outcome.folder)
    (run,) = recorded_runs(uri)
    history = MlflowClient(uri).get_metric_history(run.info.run_id, "training_loss")
    assert [point.step for point in history] == [0, 1]

    again = program(*CLASSIFIER, "figures=false", "tracking=none")
    assert again.metrics["cache_hit"] is True
    pd.testing.assert_frame_equal(again.scores, outcome.scores)
    assert "done already" in program(*CLASSIFIER, "resume=true").output


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["localisation=padim"], "use localisation=none"),
        (["save=here"], "cannot be saved"),
        (["backbone=filterbank"], "trains a network of timm"),
    ],
)
def test_what_does_not_go_with_a_trained_network_is_refused_in_one_line(
    program: Program, overrides: list[str], message: str
) -> None:
    pytest.importorskip("lightning", reason="the extra train is not installed")
    shared = [value for value in CLASSIFIER if not value.startswith("backbone.")]
    outcome = program(*(shared if "backbone=filterbank" in overrides else CLASSIFIER), *overrides)
    assert outcome.status == 2
    assert message in outcome.errors
    assert len(outcome.errors.strip().splitlines()) == 1
