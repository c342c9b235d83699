from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """The real weights and images, where they are to be had."""
    folder = os.environ.get("GAD_BENCH_TEST_ASSETS")
    if not folder:
        pytest.skip("GAD_BENCH_TEST_ASSETS names no folder of real weights and images")
    return Path(folder)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the whole session shares, so that the demo is made and extracted once."""
    return tmp_path_factory.mktemp("cache")


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


@pytest.fixture
def program(
    tmp_path: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Program:
    """`python -m gad_bench ARGUMENTS` in an empty folder, in this process."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GAD_BENCH_CACHE", str(shared_cache))
    monkeypatch.delenv("MVTECPATH", raising=False)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delenv("GAD_BENCH_SHOW_TRACEBACK", raising=False)

    def run(*arguments: str) -> Outcome:
        from gad_bench.__main__ import main

        monkeypatch.setattr(sys, "argv", ["gad_bench", *arguments])
        status: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        captured = capfd.readouterr()
        return Outcome(int(status or 0), captured.out, captured.err, folder)

    return run
