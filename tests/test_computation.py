"""One choice for all values in which the published computation differs, and each by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from program import Program
from saved import Saved

from gad_bench.base.errors import UserError
from gad_bench.config import check, compose_config
from gad_bench.report.__main__ import main as report

TINY = (
    *("experiment=demo", "dataset.train=20", "dataset.test_good=6", "dataset.test_defective=2"),
    "figures=false",
)
PARTS = {
    "backbone=efficientnet-b4": {"padding": "nominal"},
    "backbone=timm": {"padding": "nominal"},
    "covariance=ledoit_wolf": {"precision": "float32", "cutoff": 1.1920929e-07},
    "covariance=diagonal": {"ddof": 1},
    "reduction=pca": {"edge": "literal", "precision": "float32"},
    "reduction=npca": {"edge": "literal", "precision": "float32"},
    "detector=one_class_svm": {"gamma": "deviation"},
    "augmentation=paper": {"clip_limits": [1.0, 2.0], "motion_blur": "chord"},
    "metrics=standard": {"average_precision": "trapezoid", "sigma": "share"},
}
"""Each part that has such values, and what they were for the paper's numbers."""


@pytest.mark.parametrize("choice", PARTS)
def test_one_choice_sets_the_values_of_every_part(choice: str) -> None:
    name = ["backbone.name=tf_efficientnet_b5.aa_in1k"] if choice == "backbone=timm" else []
    config = compose_config(["computation=published", choice, *name])
    check(config)
    part = config[choice.partition("=")[0]]
    assert {key: part[key] for key in PARTS[choice]} == PARTS[choice]


def test_every_value_belongs_to_a_part() -> None:
    values = {key for part in PARTS.values() for key in part}
    assert values == set(compose_config([]).computation)


def test_a_single_value_wins_over_the_choice() -> None:
    config = compose_config(["computation=published", "covariance.cutoff=0", "reduction=npca"])
    assert config.covariance.cutoff == 0
    assert config.covariance.precision == "float32"
    assert config.reduction.edge == "literal"
    both = compose_config(["computation=published", "computation.precision=float64"])
    assert both.covariance.precision == "float64"


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(UserError, match=r"computation\.cutoff=much: Value 'much' .* could not be"):
        compose_config(["computation.cutoff=much"])


def test_a_sweep_over_both_says_which_is_which(
    program: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = program("-m", "computation=sound,published", *TINY, "covariance=diagonal")
    assert outcome.status == 0, outcome.errors
    runs = dict(tags(outcome.folder / "mlflow.db"))
    assert {run: name for run, name in runs.items() if "published" in run} == {
        "diagonal · filterbank · published computation · wood · fold 0": "published"
    }
    assert runs["diagonal · filterbank · wood · fold 0"] == "sound"
    sound, published = (pd.read_csv(run / "scores.csv") for run in outcome.runs)
    np.testing.assert_allclose(published["block_1"], sound["block_1"] * np.sqrt(15 / 16))
    assert report([]) == 0
    assert "| sound | published |" in capfd.readouterr().out


def tags(store: Path) -> Iterator[tuple[str, str]]:
    """Yield each run's name and its computation."""
    with sqlite3.connect(store) as database:
        yield from database.execute(
            "select runs.name, tags.value from runs join tags using (run_uuid) "
            "where tags.key = 'computation'"
        )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Saved:
    return Saved(
        tmp_path_factory.mktemp("published"),
        shared_cache,
        *("computation=published", "reduction=npca"),
    )


def test_a_saved_detector_scores_as_its_run_and_says_which_computation(saved: Saved) -> None:
    from gad_bench import Detector

    detector = Detector.load(saved.folder)
    assert detector.about["computation"] == "published"
    found = detector.predict(saved.paths)
    np.testing.assert_allclose(found.scores, saved.scores["score"], rtol=1e-6)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_an_exported_graph_scores_as_the_saved_detector(saved: Saved, form: str) -> None:
    images = f"images={Path(saved.paths[0]).parent}/*.png"
    saved.command("gad_bench.export", "detector=detector", f"format={form}", images)
