"""Runs and sweeps from Python, as in a notebook: each in a process of its own.

So nothing of the caller's process changes (environment, logging, random seeds, Hydra's globals),
and a run gives the numbers and the messages that the command line gives.
"""

from __future__ import annotations

import base64
import codecs
import html
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pandas as pd

from gad_bench.base.command import DONE, IMPOSSIBLE
from gad_bench.base.errors import UserError
from gad_bench.base.files import open_regular
from gad_bench.base.references import has_reference
from gad_bench.base.run_folder import METRICS, SCORES, read_metrics
from gad_bench.config import override
from gad_bench.report.folders import read_folder
from gad_bench.report.frame import wide_frame

FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
STAMP = "%Y-%m-%d/%H-%M-%S-%f"  # as conf/config.yaml names the folders of runs
SHOWN = ("auroc", "auroc_ci_low", "auroc_ci_high", "images_train", "images_test", "seconds_fit")
FIGURE = "contact_sheet.png"
ERRORS = ("error: ", "failed: ")  # of a run; of a job of a sweep
LONGEST = 10_000
"""Characters of what is printed that are kept, to tell of an error."""


@dataclass(frozen=True)
class RunResults:
    """What a run left.

    Attributes:
        folder: its output folder.
    """

    folder: Path

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics by name, as in metrics.json."""
        return read_metrics(self.folder)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row a test image: path, label, defect, a score per block, the combined score."""
        with open_regular(self.folder / SCORES) as file:
            return pd.read_csv(file)

    @property
    def figures(self) -> Mapping[str, Path]:
        """The figures' files by their names."""
        return {path.stem: path for path in sorted(self.folder.glob("*.png"))}

    def _repr_html_(self) -> str:
        """Return the essentials for a notebook: the main metrics and the contact sheet."""
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{self.metrics[name]:.4g}</td></tr>"
            for name in SHOWN
            if name in self.metrics
        )
        sheet = self.folder / FIGURE
        image = base64.b64encode(sheet.read_bytes()).decode() if sheet.is_file() else ""
        picture = f'<img src="data:image/png;base64,{image}" width="700">' if image else ""
        return f"<p>{html.escape(str(self.folder))}</p><table>{rows}</table>{picture}"


def run(*overrides: str, output: Path | str | None = None) -> RunResults:
    """Carry out one run, as `python -m gad_bench OVERRIDES` does.

    Args:
        overrides: of the config, such as "backbone=resnet-18" and "category=bottle".
        output: the folder of what it leaves; None: a new one in outputs/.

    Raises:
        UserError: what was asked for is impossible.
        RuntimeError: the run failed.
    """
    folder = _folder("outputs", output)
    status, last = _carry_out([override("hydra.run.dir", str(folder)), *_checked(overrides)])
    if status != DONE:
        raise _error(status, last)
    return RunResults(folder)


def sweep(*overrides: str, output: Path | str | None = None) -> pd.DataFrame:
    """Carry out a sweep, as `python -m gad_bench -m OVERRIDES` does.

    Args:
        overrides: of the config; commas part what the sweep goes through.
        output: the folder of what it leaves; None: a new one in multirun/.

    Returns:
        the runs, as `results` gives them; one that failed has the status "failed" and its reason.

    Raises:
        UserError: what was asked for is impossible.
        RuntimeError: the sweep failed before it had a run.
    """
    folder = _folder("multirun", output)
    arguments = ["-m", override("hydra.sweep.dir", str(folder)), *_checked(overrides)]
    status, last = _carry_out(arguments)
    if not any(folder.rglob(METRICS)):
        raise _error(status, last)
    return results(folder)


def results(where: Path | str, experiment: str = "gad_bench") -> pd.DataFrame:
    """Return the runs of a folder, or of a tracking store, as a DataFrame with a row each.

    Args:
        where: a folder that holds runs or sweeps, or the address of an MLflow store, such as
            sqlite:///mlflow.db.
        experiment: of the MLflow store.

    Returns:
        the data set, category, fold and what distinguishes the runs; their status and, where they
        have none, the reason; each metric; and the place: a folder, or MLflow's id.

    Raises:
        UserError: there is no run.
    """
    if "://" not in str(where):
        return wide_frame(read_folder(Path(where)))
    from gad_bench.report.tracked import read_tracked

    return wide_frame(read_tracked(str(where), experiment))


def _folder(parent: str, output: Path | str | None) -> Path:
    if output is None:
        return Path(parent, datetime.now().astimezone().strftime(STAMP)).absolute()
    if has_reference(str(output)):
        raise UserError(f"output={output} holds a reference, which Hydra would follow: rename it")
    return Path(output).absolute()


def _checked(overrides: tuple[str, ...]) -> list[str]:
    for line in overrides:
        if line.startswith(FOLDERS):
            raise UserError(f"{line}: name the folder by output=")
        if "=" not in line:
            raise UserError(f"{line!r} is no override: write KEY=VALUE, such as backbone=resnet-18")
    return list(overrides)


def _carry_out(arguments: list[str]) -> tuple[int, str]:
    """Run the program, pass on what it prints; return its status and its last word on errors."""
    command = [sys.executable, "-m", "gad_bench", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        printed = ""
        try:
            for text in _texts(process.stdout):
                sys.stdout.write(text)
                sys.stdout.flush()
                printed = (printed + text)[-LONGEST:]
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)  # a notebook's stop button reaches its kernel alone
            process.wait()
            raise
    lines = ["", *printed.strip().splitlines()]
    errors = [line for line in lines if line.startswith(ERRORS)]
    return process.returncode, (errors or lines)[-1]


def _texts(stream: IO[bytes] | None) -> Iterator[str]:
    """Yield what a stream brings as it comes: a progress bar ends no line."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while stream and (content := stream.read1()):  # type: ignore[attr-defined]
        yield decoder.decode(content)


def _error(status: int, last: str) -> Exception:
    reason = last.partition(": ")[2] if last.startswith(ERRORS) else last
    return UserError(reason) if status == IMPOSSIBLE else RuntimeError(reason)
