"""A run's folder: the names of its files, and what became of the job that wrote there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from gad_bench.base.files import read_regular, sha256_of

CONFIG, METRICS, SCORES = "config.yaml", "metrics.json", "scores.csv"
DEVICE = "device.txt"  # holds the name of that whose cost was measured
COST_DEVICE = "cost_device"  # the tag, and the key of a report, that name it
EXAMPLES = "heat_maps.safetensors"  # some test images small, with masks and heat maps
RESAMPLES = "resamples.safetensors"  # figures by pixel over resamples, to compare runs by
MISSED = "missed.csv"  # the anomalous images that the run's threshold passes
RESTORED = "restored"  # marks the folder of a run whose files come from an earlier one
FAILURE = "failure.json"
SUMMARY = "summary"  # folder of a sweep for what is known at its end

RESULTS = (CONFIG, SCORES, METRICS)

State = Literal["finished", "restored", "failed", "unfinished"]


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of a run's results that is there, by the file's name."""
    return {name: sha256_of(folder / name) for name in RESULTS if (folder / name).is_file()}


def job_folders(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's jobs that have started, in the jobs' order."""
    folders = {path.parent for path in sweep.rglob(".hydra")}
    return sorted(folders, key=lambda folder: (len(folder.name), folder.name))


def state_of(folder: Path) -> State:
    """Tell what became of a job, whose metrics are the last of its files."""
    if (folder / FAILURE).exists():
        return "failed"
    if not (folder / METRICS).exists():
        return "unfinished"
    return "restored" if (folder / RESTORED).exists() else "finished"


def forget_state(folder: Path) -> None:
    """Forget what became of an earlier job in a folder."""
    for name in (FAILURE, METRICS, RESTORED):
        (folder / name).unlink(missing_ok=True)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the metrics of a finished job."""
    metrics: dict[str, Any] = json.loads(read_regular(folder / METRICS))
    return metrics


def read_failure(folder: Path) -> dict[str, Any]:
    """Return what a failed job's failure file says."""
    failure: dict[str, Any] = json.loads(read_regular(folder / FAILURE))
    return failure
