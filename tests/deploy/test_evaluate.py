from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from saved import DEMO, Saved
from sklearn.metrics import roc_auc_score

from gad_bench.tracking.mlflow_page import plain_params

DATA = [*DEMO[1:], "dataset=demo"]
FILES = {"metrics.json", "scores.csv", "config.yaml", "contact_sheet.png", "curves.png"}


def evaluate(saved: Saved, output: str, *overrides: str) -> dict[str, float]:
    arguments = ["detector=detector", f"output={output}", *DATA, *overrides]
    saved.command("gad_bench.evaluate", *arguments)
    return json.loads((saved.work / output / "metrics.json").read_text())


def test_its_own_category_gives_its_runs_scores(saved: Saved) -> None:
    evaluate(saved, "own", "category=wood", "tracking=none", "figures=false")
    table = pd.read_csv(saved.work / "own" / "scores.csv")
    np.testing.assert_allclose(table["score"], saved.scores["score"], rtol=1e-9)
    np.testing.assert_allclose(table["p_value"], saved.scores["p_value"])


def test_another_category_is_measured_and_recorded_as_a_run(saved: Saved) -> None:
    from mlflow.tracking import MlflowClient

    metrics = evaluate(saved, "shift", "category=fabric")
    table = pd.read_csv(saved.work / "shift" / "scores.csv")
    assert metrics["auroc"] == pytest.approx(roc_auc_score(table["label"], table["score"]))
    flagged = table["score"] > metrics["threshold_detector"]
    assert metrics["fpr_detector"] == pytest.approx(flagged[table["label"] == 0].mean())
    assert metrics["tpr_detector"] == pytest.approx(flagged[table["label"] == 1].mean())
    assert {path.name for path in (saved.work / "shift").iterdir()} >= FILES

    client = MlflowClient(f"sqlite:///{saved.work / 'mlflow.db'}")
    experiments = [client.get_experiment_by_name(n) for n in ("gad_bench", "gad_bench_evaluate")]
    fitted, (run,) = (client.search_runs([own.experiment_id]) for own in experiments)
    assert run.data.tags["detector_key"] == fitted[0].data.tags["key"]
    assert run.data.tags["detector_category"] == "demo/wood"
    assert run.data.tags["category"] == "fabric"
    here, there = (plain_params(each.data.params) for each in (run, fitted[0]))
    assert here["covariance._target_"] == there["covariance._target_"]
    assert here["covariance"] == there["covariance"]
    assert run.data.metrics["auroc"] == pytest.approx(metrics["auroc"])
    assert run.info.status == "FINISHED"


def test_training_images_count_where_that_is_asked_for(saved: Saved) -> None:
    metrics = evaluate(
        saved, "all", "category=fabric", "images=all", "tracking=none", "figures=false"
    )
    assert metrics["images_test"] == 20 + 6 + len(_defects(saved, "all")) * 3


def test_several_categories_have_a_folder_each(saved: Saved) -> None:
    arguments = ["detector=detector", "output=two", *DATA, "tracking=none", "figures=false"]
    saved.command("gad_bench.evaluate", *arguments, "category=wood,hex_nut")
    assert {path.parent.name for path in saved.work.glob("two/*/metrics.json")} == {
        "wood",
        "hex_nut",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detector=detector", *DATA], "category= is missing"),
        (["detector=detector", *DATA, "category=steel"], "no category 'steel'"),
        (["detector=detector", "category=wood", "covariance=oas"], "there is no key covariance"),
        (["detector=none", *DATA, "category=wood"], "holds no detector"),
        (["detector=detector", *DATA, "category=wood", "images=some"], "images=some is unknown"),
    ],
)
def test_a_mistake_ends_in_one_line(saved: Saved, arguments: list[str], message: str) -> None:
    _, errors = saved.command("gad_bench.evaluate", *arguments, status=2)
    (line,) = errors.splitlines()
    assert line.startswith("error: ")
    assert message in line


def _defects(saved: Saved, output: str) -> set[str]:
    table = pd.read_csv(Path(saved.work) / output / "scores.csv")
    return set(table["defect"]) - {"good"}
