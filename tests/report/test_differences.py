"""Which settings the same test images tell apart."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gad_bench.report.differences import to_csv, to_markdown
from gad_bench.report.report import Report, Request, make_report

LABELS = np.repeat([0, 1], 40)
PATHS = [f"{number}.png" for number in range(80)]


@pytest.fixture
def report_of(run_of: Any, tmp_path: Path) -> Any:
    """A report on one category, from each setting's shift of the anomalous images' scores."""

    def make(shifts: dict[str, float], folds: int = 2, paths: list[str] = PATHS) -> Report:
        generator = np.random.default_rng(0)
        noise = generator.normal(size=80)
        runs = []
        for number, (name, shift) in enumerate(shifts.items()):
            scores = [
                pd.DataFrame(
                    {
                        "path": paths if number else PATHS,
                        "label": LABELS,
                        "score": noise + 0.1 * generator.normal(size=80) + shift * LABELS,
                        "fold": fold,
                    }
                ).sample(frac=1, random_state=number)
                for fold in range(folds)
            ]
            folder = tmp_path / name
            folder.mkdir()
            pd.concat(scores).to_csv(folder / "scores.csv")
            run = run_of("bolt", 0, 0.5 + shift / 10, covariance=name)
            runs.append(run.__class__(**{**run.__dict__, "place": str(folder)}))
        return make_report(runs, Request(where={}), "here")

    return make


def test_the_best_is_named_with_what_cannot_be_told_apart_from_it(report_of: Any) -> None:
    report = report_of({"oas": 2.0, "identity": 0.1, "shrunk": 2.02})
    (found,) = report.differences
    assert found.words in (
        f"On the 80 test images of bolt {best}, the best, cannot be told apart from {other}; "
        "the other setting is."
        for best, other in (("oas", "shrunk"), ("shrunk", "oas"))
    )
    table = pd.read_csv(io.StringIO(to_csv(report.differences)))
    assert table["setting"].tolist()[2] == "identity"
    assert table["below_best"].tolist()[0] == 0
    assert table["low"][2] < table["below_best"][2] < table["high"][2]
    assert found.words in to_markdown(report.differences)


def test_settings_that_are_all_alike_or_all_apart_are_told_so(report_of: Any) -> None:
    (found,) = report_of({"oas": 1.0, "shrunk": 1.0}).differences
    assert found.words.startswith("On the 80 test images of bolt ")
    assert found.words.endswith(" cannot be told apart.")
    (found,) = report_of({"diagonal": 2.0, "identity": 0.0}).differences
    assert found.words == (
        "On the 80 test images of bolt diagonal is the best, and told apart from every other "
        "setting."
    )


def test_other_test_images_are_not_compared(report_of: Any) -> None:
    others = [f"other_{path}" for path in PATHS]
    assert report_of({"oas": 1.0, "shrunk": 1.0}, paths=others).differences == []


def test_runs_whose_scores_are_not_at_hand_are_not_compared(run_of: Any) -> None:
    runs = [run_of("bolt", 0, 0.9, covariance=name) for name in ("oas", "shrunk")]
    assert make_report(runs, Request(where={}), "here").differences == []
