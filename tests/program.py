"""What the tests say of a run of the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


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
