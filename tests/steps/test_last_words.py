from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gad_bench.base.process import Stopwatch
from gad_bench.steps.last_words import point_the_way


def told(caplog: pytest.LogCaptureFixture, output: Path, metrics: dict[str, float]) -> list[str]:
    with caplog.at_level(logging.INFO):
        point_the_way(output, output, {"cache_hit": 1, **metrics}, Stopwatch(), None)
    return [line for line in caplog.messages if str(output) not in line]


def rates(by: str, fpr: float, tpr: float) -> dict[str, float]:
    shares = {"fpr": fpr, "tpr": tpr}
    ends = {"": 0.0, "_ci_low": -0.1, "_ci_high": 0.1}
    return {f"{rate}_{by}{end}": shares[rate] + ends[end] for rate in shares for end in ends}


def test_a_saved_detectors_own_threshold_is_told_as_a_promise_is(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    shares = "20.0 % [10.0, 30.0] of the good test images flagged, 70.0 % [60.0, 80.0]"
    lines = told(caplog, tmp_path, rates("detector", 0.2, 0.7))
    assert f"the detector's own threshold: {shares} of the anomalous" in lines
    caplog.clear()
    lines = told(caplog, tmp_path, rates("conformal", 0.2, 0.7) | {"fpr_used": 0.125})
    assert f"threshold for 12.5 % false alarms: {shares} of the anomalous" in lines


def test_what_could_not_be_measured_has_no_words(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    assert len(told(caplog, tmp_path, {})) == 1  # where time went


def test_of_many_missed_images_the_first_are_named(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    names = [f"/data/bolt/test/crack/{number}.png" for number in range(7)]
    (tmp_path / "missed.csv").write_text("\n".join(["path", *names]))
    (line,) = [line for line in told(caplog, tmp_path, {}) if "not flagged" in line]
    assert line.startswith("anomalous images not flagged: crack/0.png, crack/1.png, crack/2.png")
    assert line.endswith("crack/4.png and 2 more (missed.csv)")
