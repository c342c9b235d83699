from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from recorded import recorded_runs, store_in
from saved import DEMO, Saved
from sklearn.metrics import roc_auc_score

from gad_bench.base.files import sha256_of
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
    metrics = evaluate(saved, "shift", "category=fabric")
    table = pd.read_csv(saved.work / "shift" / "scores.csv")
    assert metrics["auroc"] == pytest.approx(roc_auc_score(table["label"], table["score"]))
    flagged = table["score"] > metrics["threshold_detector"]
    assert metrics["fpr_detector"] == pytest.approx(flagged[table["label"] == 0].mean())
    assert metrics["tpr_detector"] == pytest.approx(flagged[table["label"] == 1].mean())
    missed = pd.read_csv(saved.work / "shift" / "missed.csv")
    assert set(missed["path"]) == set(table["path"][~flagged & (table["label"] == 1)])
    assert {path.name for path in (saved.work / "shift").iterdir()} >= FILES

    experiments = ("gad_bench", "gad_bench_evaluate")
    fitted, (run,) = (recorded_runs(store_in(saved.work), own) for own in experiments)
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


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


@pytest.fixture
def edited(saved: Saved, tmp_path: Path) -> Callable[[Callable[[str], str]], Path]:
    """A copy of the detector with another config.yaml, its checksum made right."""

    def edit(change: Callable[[str], str]) -> Path:
        folder = tmp_path / "edited"
        shutil.copytree(saved.folder, folder)
        before = sha256_of(folder / "config.yaml")
        (folder / "config.yaml").write_text(change((folder / "config.yaml").read_text()))
        sums = (folder / "SHA256SUMS").read_text()
        after = sha256_of(folder / "config.yaml")
        (folder / "SHA256SUMS").write_text(sums.replace(before, after))
        return folder

    return edit


def test_a_foreign_config_says_nothing_that_is_followed(
    saved: Saved, edited: Any, tmp_path: Path
) -> None:
    victim, evil = tmp_path / "touched", tmp_path / "evil.pkl"
    evil.write_bytes(pickle.dumps(Trap(victim)))
    folder = edited(
        lambda text: text.replace(
            "contamination: 0.0",
            f"contamination: '${{category_names:{{_target_:joblib.load,filename:{evil}}}}}'",
        ).replace("fold:\n", "fold:\n  note: ${oc.env:HOME}\n")
    )
    arguments = ["output=foreign", *DATA, "category=wood", "tracking=none", "figures=false"]
    saved.command("gad_bench.evaluate", f"detector={folder}", *arguments)
    recorded = yaml.safe_load((saved.work / "foreign" / "config.yaml").read_text())
    assert recorded["fold"]["note"] == "${oc.env:HOME}"
    assert recorded["contamination"].startswith("${category_names:")
    assert not victim.exists()


@pytest.mark.parametrize("name", ["joblib.load", "os.system", "gad_bench.base.files.write_text"])
def test_a_foreign_config_names_no_class_but_ours(saved: Saved, edited: Any, name: str) -> None:
    folder = edited(lambda text: text.replace("fold:\n", f"fold:\n  inner: {{_target_: {name}}}\n"))
    errors = refused(saved, folder)
    assert f"config.yaml: fold.inner._target_ names {name}" in errors
    saved.command(
        "gad_bench.evaluate", f"detector={folder}", "output=trusted", *DATA, "category=wood",
        "tracking=none", "figures=false", f"trust={name.partition('.')[0]}",
    )  # fmt: skip


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: [", "\x00", "fold: !!python/name:os.system"])
def test_a_config_that_is_none_ends_in_one_line(saved: Saved, edited: Any, content: str) -> None:
    assert "config.yaml cannot be read" in refused(saved, edited(lambda _: content))


def refused(saved: Saved, folder: Path) -> str:
    """Return the only line that evaluating a detector ends in."""
    arguments = [f"detector={folder}", *DATA, "category=wood", "tracking=none", "figures=false"]
    _, errors = saved.command("gad_bench.evaluate", *arguments, status=2)
    (line,) = errors.splitlines()
    return line
