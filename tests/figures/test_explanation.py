"""Where scores come from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from program import Program
from sklearn.metrics import roc_auc_score

from gad_bench.evaluation import Scores
from gad_bench.figures.explanation import auroc_by_rank, chosen_rows
from gad_bench.gaussian.metric import Contributions

LABELS = np.array([0, 0, 0, 1, 1, 1])


def scores(combined: list[float]) -> Scores:
    values = np.array(combined)
    defects = ["good" if label == 0 else "bad" for label in LABELS]
    return Scores(
        labels=LABELS, defects=defects, blocks={0: values}, combined=values, dimensions={}
    )


def test_auroc_by_rank_is_that_of_sums_of_contributions() -> None:
    squared = np.random.default_rng(0).random((6, 4))
    parts = Contributions(
        variances=np.array([4.0, 3.0, 2.0, 1.0]), directions=np.array([1, 1, 1, 5]), squared=squared
    )
    table = auroc_by_rank(LABELS, {2: parts})
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table["directions"].tolist() == [1, 1, 1, 5]
    sums = {
        "alone": squared,
        "leading": np.cumsum(squared, axis=1),
        "trailing": np.stack([squared[:, rank:].sum(axis=1) for rank in range(4)], axis=1),
    }
    for name, values in sums.items():
        expected = [roc_auc_score(LABELS, column) for column in values.T]
        np.testing.assert_allclose(table[name], expected, atol=1e-12)


def test_the_images_that_are_explained_are_the_extremes() -> None:
    rows = chosen_rows(scores([1, 3, 2, 9, 0, 5]), 1)
    assert rows == {"anomalous, highest": [3], "anomalous, lowest": [4], "good, highest": [1]}


def test_a_run_leaves_the_figures_and_their_numbers(program: Program) -> None:
    outcome = program("experiment=demo", "tracking=none", "explanation=components")
    assert outcome.status == 0, outcome.errors
    run = outcome.runs[-1]
    assert (run / "explanation.png").stat().st_size > 10_000
    assert (run / "components.png").stat().st_size > 10_000
    table = pd.read_csv(run / "components.csv")
    for block, part in table.groupby("block"):
        whole = pytest.approx(outcome.metrics[f"auroc_block_{block}"])
        assert part["leading"].iloc[-1] == whole
        assert part["trailing"].iloc[0] == whole


def test_a_detector_without_components_is_explained_by_blocks(program: Program) -> None:
    outcome = program(
        "experiment=demo", "tracking=none", "explanation=components", "covariance=diagonal"
    )
    assert outcome.status == 0, outcome.errors
    assert (outcome.runs[-1] / "explanation.png").exists()
    assert not (outcome.runs[-1] / "components.png").exists()


def test_no_image_to_explain_is_refused(program: Program) -> None:
    outcome = program("experiment=demo", "explanation=components", "explanation.images=0")
    assert outcome.status == 2
    assert "explanation.images must be at least 1, not 0" in outcome.errors
