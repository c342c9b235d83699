"""A table of the paper from a warm store: one sweep against a process for each job.

    python benchmarks/sweep.py [--experiment table1] [--processes 5]
    python benchmarks/sweep.py --small-jobs 1000  # what a small job costs, and memory

The images are small generated ones in the numbers of MVTec AD, 3,629 for training and 1,725 for the
test in 15 categories; their features are drawn by a fixed projection onto EfficientNet-B4's nine
block widths. What is timed is everything but the extraction: Hydra, reading the store, fitting,
scoring, metrics and MLflow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (48, 24, 32, 56, 112, 160, 272, 448, 1792)
SIDE = 8
FOLDS = 5
# Training images, good and defective test images of MVTec AD.
COUNTS = {
    "bottle": (209, 20, 63),
    "cable": (224, 58, 92),
    "capsule": (219, 23, 109),
    "carpet": (280, 28, 89),
    "grid": (264, 21, 57),
    "hazelnut": (391, 40, 70),
    "leather": (245, 32, 92),
    "metal_nut": (220, 22, 93),
    "pill": (267, 26, 141),
    "screw": (320, 41, 119),
    "tile": (230, 33, 84),
    "toothbrush": (60, 12, 30),
    "transistor": (213, 60, 40),
    "wood": (247, 19, 60),
    "zipper": (240, 32, 119),
}
SMALL = "toothbrush"
CHOICE = "# Generated features as wide as EfficientNet-B4's\n_target_: sweep.GeneratedBlocks\n"


@dataclass(frozen=True, kw_only=True)
class GeneratedBlocks:
    """A backbone that costs nothing: random projections of small pictures."""

    name: str = "generated"

    def facts(self) -> Mapping[str, Any]:
        return {"architecture": "benchmarks/sweep"}

    def block_count(self) -> int:
        return len(WIDTHS)

    def image_size(self) -> int:
        return SIDE

    def build(self, deepest: int) -> nn.Module:
        from projections import Projections  # torch, which a warm sweep does without

        return Projections(SIDE * SIDE * 3, WIDTHS[: deepest + 1]).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiment", default="table1")
    parser.add_argument("--processes", type=int, default=5, help="single jobs to time")
    parser.add_argument("--small-jobs", type=int, help="jobs of one sweep, measured instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        if arguments.small_jobs:
            bench.prepare([SMALL])
            print_usage(bench, arguments.small_jobs)
            return
        bench.prepare(list(COUNTS))
        every = f"category={','.join(COUNTS)}"
        first = bench.run("-m", every, "covariance=identity", "tracking=none", "figures=false")
        print(f"extraction, once: {first:.1f} s")
        swept = bench.run("-m", f"experiment={arguments.experiment}")
        jobs = sum(1 for _ in bench.folder.glob("multirun/*/*/*/metrics.json")) - len(COUNTS)
        singly = median(
            bench.run("category=bottle", f"fold.index={index % 5}", "figures=false")
            for index in range(arguments.processes)
        )
        print(f"{arguments.experiment}: {jobs} jobs of {FOLDS} folds in one sweep: {swept:.1f} s")
        print(f"one fold of one job in a process of its own: {singly:.2f} s")
        for count, what in ((len(COUNTS) * FOLDS, "a category and fold"), (jobs * FOLDS, "a job")):
            print(
                f"a process for {what}: {count * singly:.0f} s, {count * singly / swept:.1f} times"
            )


@dataclass(frozen=True)
class Usage:
    """What a sweep has used when so many jobs have finished.

    Attributes:
        jobs: their number.
        seconds: processor time of its process.
        beside: that of the processes that draw and record for it.
        memory: resident in its process, MiB.
    """

    jobs: int
    seconds: float
    beside: float
    memory: float


def print_usage(bench: Bench, jobs: int) -> None:
    """Print the processor time and the memory of small jobs; figures and MLflow are on."""
    marks = sorted({min(mark, jobs) for mark in (10, 50, 100, 200, 500, 1000, jobs)})
    last = None
    for usage in bench.usages(jobs):
        if not marks or usage.jobs < marks[0]:
            continue
        marks = [mark for mark in marks if mark > usage.jobs]
        each = "" if last is None else _each(last, usage)
        print(f"{usage.jobs} jobs: {usage.seconds:.1f} s of the processor, {usage.beside:.1f} s "
              f"beside, {usage.memory:.0f} MiB{each}", flush=True)  # fmt: skip
        last = usage


def _each(last: Usage, now: Usage) -> str:
    jobs = now.jobs - last.jobs
    own, beside = (now.seconds - last.seconds) / jobs, (now.beside - last.beside) / jobs
    return f"; a job since then: {own:.3f} s, {beside:.3f} s beside"


def _read_usage(process: int, jobs: int) -> Usage:
    proc = Path("/proc") / str(process)
    children = [
        int(child)
        for task in (proc / "task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    pages = int((proc / "statm").read_text().split()[1])
    return Usage(
        jobs=jobs,
        seconds=_processor_seconds(process),
        beside=sum(map(_processor_seconds, children)),
        memory=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
    )


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Bench:
    """A folder with images, a choice of backbone and a cache."""

    folder: Path

    def prepare(self, categories: Sequence[str]) -> None:
        noise = np.random.default_rng(0)
        for category in categories:
            train, good, defective = COUNTS[category]
            shift = 12.0
            for part, count, mean in (
                ("train/good", train, 128.0),
                ("test/good", good, 128.0),
                ("test/defect", defective, 128.0 + shift),
            ):
                place = self.folder / "images" / category / part
                place.mkdir(parents=True)
                for number in range(count):
                    image = noise.normal(mean, 40, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
                    cv2.imwrite(str(place / f"{number:03}.png"), image)
        choice = self.folder / "conf" / "backbone" / "generated.yaml"
        choice.parent.mkdir(parents=True)
        choice.write_text(CHOICE + "name: generated\n")

    def run(self, *arguments: str) -> float:
        started = time.perf_counter()
        subprocess.run(self._command(arguments), cwd=self.folder, env=self._environment, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        return time.perf_counter() - started

    def usages(self, jobs: int) -> Iterator[Usage]:
        """Sweep so many small jobs, and yield what they have used each time one has finished."""
        command = self._command(
            ["-m", f"category={SMALL}", "covariance=diagonal", "blocks.indices=[0,1]",
             f"seed=range(0,{jobs})", "hydra.sweep.dir=small"]
        )  # fmt: skip
        process = subprocess.Popen(command, cwd=self.folder, env=self._environment,
                                   stdout=subprocess.DEVNULL)  # fmt: skip
        done = 0
        while process.poll() is None and done < jobs:
            time.sleep(0.1)
            finished = sum(1 for _ in self.folder.glob("small/*/metrics.json"))
            if finished > done:
                done = finished
                yield _read_usage(process.pid, done)
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [
            sys.executable,
            "-m",
            "gad_bench",
            "--config-dir",
            "conf",
            *arguments,
            "backbone=generated",
        ]

    @property
    def _environment(self) -> dict[str, str]:
        here = Path(__file__).parent
        paths = os.pathsep.join([str(here), str(here.parent)])
        return os.environ | {
            "MVTECPATH": str(self.folder / "images"),
            "GAD_BENCH_CACHE": str(self.folder / "cache"),
            "PYTHONPATH": paths,
        }


if __name__ == "__main__":
    main()
