"""A saved detector of the demo, and the commands on it, as a user gives them."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import pandas as pd
from program import run_here

DEMO = ["experiment=demo", "dataset.train=20", "dataset.test_good=6", "dataset.test_defective=3"]

SMALL = ["backbone.input_size=64", "backbone.octaves=2"]  # ready to score in a third of the time


class Saved:
    """A run of the program that saved its detector."""

    def __init__(self, folder: Path, cache: Path, *overrides: str) -> None:
        self.folder, self.work, self.cache = folder / "detector", folder, cache
        errors = io.StringIO()
        with self._in_its_folder(), contextlib.redirect_stderr(errors):
            status = run_here(*DEMO, "figures=false", "save=detector", *overrides)
        assert status == 0, errors.getvalue()
        (table,) = folder.glob("outputs/**/scores.csv")
        self.scores = pd.read_csv(table)

    @property
    def paths(self) -> list[str]:
        """The test images."""
        return list(self.scores["path"])

    def command(self, module: str, *arguments: str, status: int = 0) -> tuple[str, str]:
        """Carry out `python -m MODULE ARGUMENTS` in the work folder; return what it printed."""
        output, errors = io.StringIO(), io.StringIO()
        with (
            self._in_its_folder(),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            found = importlib.import_module(module).main(arguments)
        assert found == status, errors.getvalue()
        return output.getvalue(), errors.getvalue()

    def process(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run Python in the work folder."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.work,
            env=os.environ | {"GAD_BENCH_CACHE": str(self.cache)},
            capture_output=True,
            text=True,
            check=False,
        )

    @contextlib.contextmanager
    def _in_its_folder(self) -> Iterator[None]:
        """Work there, as a process of its own would; MLflow leaves its address in ours."""
        with (
            contextlib.chdir(self.work),
            mock.patch.dict(os.environ, {"GAD_BENCH_CACHE": str(self.cache)}),
        ):
            yield
