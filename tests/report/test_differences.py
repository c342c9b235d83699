"""Which settings the same test images tell apart."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gad_bench.base.run_folder import RESAMPLES
from gad_bench.evaluation.kept_resamples import KeptResamples, write_resamples
from gad_bench.report.differences import find_differences, to_csv, to_markdown
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
    found, by_precision = report.differences
    assert found.words in (
        f"On the 80 test images of bolt {best}, the best, cannot be told apart from {other}; "
        "the other setting is."
        for best, other in (("oas", "shrunk"), ("shrunk", "oas"))
    )
    table = pd.read_csv(io.StringIO(to_csv(report.differences)))
    assert table["metric"].tolist() == ["auroc"] * 3 + ["aupr"] * 3
    for first in (0, 3):
        assert table["setting"].tolist()[first + 2] == "identity"
        assert table["below_best"].tolist()[first] == 0
        worst = table.iloc[first + 2]
        assert worst["low"] < worst["below_best"] < worst["high"]
    assert by_precision.words.startswith("By average precision, on the 80 test images of bolt ")
    assert found.words in to_markdown(report.differences)
    assert by_precision.words in to_markdown(report.differences)


def test_settings_that_are_all_alike_or_all_apart_are_told_so(report_of: Any) -> None:
    found, _ = report_of({"oas": 1.0, "shrunk": 1.0}).differences
    assert found.words.startswith("On the 80 test images of bolt ")
    assert found.words.endswith(" cannot be told apart.")
    found, _ = report_of({"diagonal": 2.0, "identity": 0.0}).differences
    assert found.words == (
        "On the 80 test images of bolt diagonal is the best, and told apart from every other "
        "setting."
    )


def keep(folder: Path, better: float, images: str = "a") -> None:
    """Keep resamples of a figure that is higher by so much in each."""
    drawn = 0.7 + 0.02 * np.random.default_rng(0).normal(size=500) + better
    drawn += 1e-3 * np.random.default_rng(1 + int(100 * better)).normal(size=500)
    kept = KeptResamples(
        images=images, fewest=40, tested=80, values={"aupro": 0.7 + better}, drawn={"aupro": drawn}
    )
    write_resamples(folder / RESAMPLES, kept)


def test_figures_by_pixel_are_compared_by_what_the_runs_kept_of_them(
    report_of: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = report_of({"oas": 1.0, "shrunk": 1.0, "identity": 1.0})
    keep(tmp_path / "oas", 0.0)
    keep(tmp_path / "shrunk", 0.01)
    by_pixel = report.differences[2]
    assert by_pixel.words == (
        "By AUPRO, on the 80 test images of bolt shrunk is the best, and told apart from every "
        "other setting."
    )  # by a hundredth, half of what the images vary by: they vary alike
    table = pd.read_csv(io.StringIO(to_csv(report.differences))).iloc[6:]
    assert table["value"].tolist() == pytest.approx([71, 70])
    assert table["low"].tolist()[1] == pytest.approx(1, abs=0.5)

    keep(tmp_path / "shrunk", 0.01, images="b")
    assert len(find_differences(report.tables[0])) == 2
    (tmp_path / "shrunk" / RESAMPLES).write_bytes(b"{")
    (tmp_path / "oas" / "scores.csv").write_text("no table")
    assert find_differences(report.tables[0]) == []
    assert "resamples.safetensors is damaged: run it again" in caplog.text
    assert "scores.csv is damaged" in caplog.text


def test_other_test_images_are_not_compared(report_of: Any) -> None:
    others = [f"other_{path}" for path in PATHS]
    assert report_of({"oas": 1.0, "shrunk": 1.0}, paths=others).differences == []


def test_runs_whose_scores_are_not_at_hand_are_not_compared(run_of: Any) -> None:
    runs = [run_of("bolt", 0, 0.9, covariance=name) for name in ("oas", "shrunk")]
    assert make_report(runs, Request(where={}), "here").differences == []
