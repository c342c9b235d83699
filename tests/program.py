"""What the tests say of a run of the program."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

SMALL_SWEEP = [
    "-m",
    "experiment=demo",
    "dataset.train=20",
    "dataset.test_good=6",
    "dataset.test_defective=3",
    "backbone.octaves=1",
    "backbone.input_size=64",
    "hydra.sweep.dir=swept",
]
"""Jobs that take a moment each; what is swept is to follow."""


@dataclass
class Outcome:
    """What a run of the program left."""

    status: int
    output: str
    errors: str
    folder: Path

    @property
    def runs(self) -> list[Path]:
        """The folders of the finished runs, oldest first."""
        found = self.folder.glob("[om]u*/**/metrics.json")
        return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the newest run."""
        return json.loads((self.runs[-1] / "metrics.json").read_text())

    @property
    def scores(self) -> pd.DataFrame:
        """The scores of the newest run."""
        return pd.read_csv(self.runs[-1] / "scores.csv")


Program = Callable[..., Outcome]


def run_here(*arguments: str) -> int:
    """`python -m gad_bench ARGUMENTS` in this process, MLflow too; return the exit status."""
    import mlflow.tracking  # noqa: F401 - so that no other process is started to record

    from gad_bench.__main__ import main

    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with mock.patch.object(sys, "argv", ["gad_bench", *arguments]):
            main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
    return 0
