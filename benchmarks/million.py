"""A whole run of one category by the number of its images: time and peak memory of every stage.

    python benchmarks/million.py [--images 10000 100000 1000000] [--folder DIR] [OVERRIDE ...]

Generated images of 16 x 16 pixels, seven tenths of them for training, go through the program as a
user starts it, with a small filter bank, figures and MLflow: first with an empty store, then once
more with a full one. Each run is a process of its own. Memory is the process's peak so far as each
stage ends. The growth is that of the processor's time, which a busy machine leaves as it is: 10
from a number of images to ten times as many is linear, 100 quadratic.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from memory import MEBIBYTE, SIDE, generate, peak

from gad_bench.__main__ import main as gad_bench
from gad_bench.base.process import Stopwatch

PARTS = (("train/good", 0.7, 0), ("test/good", 0.2, 0), ("test/defect", 0.1, 16))
"""Folder, share of the images, and their darkest value: a defective image is a little brighter."""
BACKBONE = ("backbone=filterbank", f"backbone.input_size={SIDE}", "backbone.octaves=1")


class Stage(NamedTuple):
    """What a stage took, and the process's peak by its end."""

    seconds: float
    processor: float  # seconds
    memory: float  # MiB


Stages = dict[str, Stage]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="holds images, cache and runs, and keeps them")
    parser.add_argument("--one", type=Path, help="run in this process, and write the stages here")
    arguments, overrides = parser.parse_known_args()
    if arguments.one:
        measure(arguments.one, overrides)
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        measured = [run_twice(folder / str(count), count, overrides) for count in arguments.images]
    for number, what in enumerate(("the first run", "the second, on stored features")):
        print_table(what, arguments.images, [stages[number] for stages in measured])


def run_twice(folder: Path, count: int, overrides: Sequence[str]) -> list[Stages]:
    images = folder / "images" / "noise"
    if not images.exists():
        for seed, (part, share, darkest) in enumerate(PARTS):
            (images / part).mkdir(parents=True)
            generate(images / part, round(share * count), seed, darkest)
    return [run(folder, number, overrides) for number in range(2)]


def run(folder: Path, number: int, overrides: Sequence[str]) -> Stages:
    out = folder / f"stages-{number}.json"
    keys = ("dataset=folder", f"dataset.root={folder / 'images'}", f"cache_dir={folder / 'cache'}")
    command = [sys.executable, __file__, "--one", str(out), *keys, *BACKBONE, *overrides]
    subprocess.run(command, cwd=folder, check=True)
    return {stage: Stage(*values) for stage, values in json.loads(out.read_text()).items()}


def measure(out: Path, overrides: Sequence[str]) -> None:
    """Run the program, and note what each of its stages takes as it ends."""
    stages: Stages = {}
    processor: dict[str, float] = {}
    lap, last = Stopwatch.lap, time.process_time()

    def noting(watch: Stopwatch, stage: str) -> None:
        nonlocal last
        lap(watch, stage)
        now = time.process_time()
        processor[stage] = processor.get(stage, 0) + now - last
        last = now
        stages[stage] = Stage(watch.seconds[stage], processor[stage], peak() / MEBIBYTE)
        out.write_text(json.dumps(stages))

    with patch.object(Stopwatch, "lap", noting), patch.object(sys, "argv", ["", *overrides]):
        gad_bench()


def print_table(what: str, counts: Sequence[int], measured: Sequence[Stages]) -> None:
    heads = [f"{count:,}: s | CPU s | MiB" for count in counts]
    print(f"\n| {what} | {' | '.join(heads)} | growth |")
    print("|---" * (3 * len(counts) + 2) + "|")
    for name in measured[0]:
        of_counts = [stages[name] for stages in measured]
        cells = [f"{one.seconds:.1f} | {one.processor:.1f} | {one.memory:.0f}" for one in of_counts]
        took = [max(one.processor, 1e-3) for one in of_counts]
        growth = ", ".join(f"{b / a:.1f}" for a, b in pairwise(took))
        print(f"| {name} | {' | '.join(cells)} | {growth} |")


if __name__ == "__main__":
    main()
