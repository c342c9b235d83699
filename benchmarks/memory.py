"""Peak memory of an extraction, by the number of images: it must not grow with them.

    python benchmarks/memory.py [--counts 10000 100000]

Small generated images go through a small filter bank into a fresh store, each count in a process of
its own; what is printed is the process's peak beyond its size before the extraction, less what the
caller keeps: the features themselves.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from gad_bench.features.blocks import Blocks
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.obtain import FeatureSource
from gad_bench.features.runtime import OpenVinoRuntime

SIDE = 16
MEBIBYTE = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--one", type=Path, help="measure this folder, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.one)
        return
    print("| images | s | images/s | features kept, MiB | peak beyond them, MiB |")
    print("|---|---|---|---|---|", flush=True)
    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder), count)
            subprocess.run([sys.executable, __file__, "--one", folder], check=True)


def generate(folder: Path, count: int) -> None:
    noise = np.random.default_rng(0)
    for number in range(count):
        image = noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:06}.png"), image)


def measure(folder: Path) -> None:
    paths = [str(path) for path in sorted(folder.glob("*.png"))]
    with tempfile.TemporaryDirectory() as cache:
        source = FeatureSource(
            backbone=FilterBank(input_size=SIDE, octaves=1),
            blocks=Blocks(),
            runtime=OpenVinoRuntime(),
            device="cpu",
            batch_size=64,
            cache_dir=cache,
            about={},
        )
        source.features(paths[:64])  # what is loaded once
        before = peak()
        started = time.perf_counter()
        images = source.fingerprint(paths)
        looking = peak() - before
        blocks = source.features(images).blocks
        seconds = time.perf_counter() - started
    kept = sum(block.nbytes for block in blocks.values())
    beyond = max(looking, peak() - before - kept) / MEBIBYTE
    rate = len(paths) / seconds
    print(f"| {len(paths)} | {seconds:.0f} | {rate:.0f} | {kept / MEBIBYTE:.0f} | {beyond:.0f} |")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
