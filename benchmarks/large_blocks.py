"""Blocks that lie on the disk: what reading and fitting them takes where memory is short.

    python benchmarks/large_blocks.py [--vectors 200000] [--limits 0 1500]

Generated vectors of EfficientNet-B4's nine block widths, as of 100 passes over 2,000 images, are
read from a store, and three quarters of them are fitted by `ledoit_wolf`; once with all blocks
in memory and once with all mapped from the disk, each in a process of its own, whose own memory
(its data segment: what is mapped from a file is not part of it) is limited to so many MiB; 0 for no
limit.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gad_bench.base.process import one_thread
from gad_bench.features import store
from gad_bench.features.interface import Features
from gad_bench.features.store import FeatureStore, Recipe
from gad_bench.gaussian import Samples
from gad_bench.gaussian.covariance import LedoitWolf

WIDTHS = (48, 24, 32, 56, 112, 160, 272, 448, 1792)
PASSES = 100
WAYS = {"in memory": sys.maxsize, "mapped": 0}  # the size from which a block is mapped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vectors", type=int, default=200_000)
    parser.add_argument("--limits", type=int, nargs="+", default=[0, 1500])
    parser.add_argument("--one", nargs=3, help="measure this store, way and limit, in this process")
    arguments = parser.parse_args()
    recipe = Recipe({}, [str(image) for image in range(arguments.vectors // PASSES)], PASSES)
    if arguments.one:
        measure(recipe, *arguments.one)
        return
    print("| limit, MiB | way | read, s | fit, s |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        FeatureStore(Path(folder)).get(recipe, [0], {}, generate)
        for limit in arguments.limits:
            for way in WAYS:
                options = ["--vectors", str(arguments.vectors), "--one", folder, way, str(limit)]
                end = subprocess.run(
                    [sys.executable, __file__, *options], check=False, stderr=subprocess.DEVNULL
                )
                if end.returncode:
                    print(f"| {limit or 'none'} | {way} | out of memory | |", flush=True)


def generate(rows: Sequence[int], _deepest: int) -> Iterator[tuple[Features, ...]]:
    noise = np.random.default_rng(0)
    for start in range(0, len(rows), PASSES):
        count = min(PASSES, len(rows) - start)
        yield tuple(noise.standard_normal((count, width), np.float32) for width in WIDTHS)


def measure(recipe: Recipe, folder: str, way: str, limit: str) -> None:
    store.LARGE = WAYS[way]
    if int(limit):
        resource.setrlimit(resource.RLIMIT_DATA, (int(limit) * 2**20,) * 2)
    started = time.perf_counter()
    blocks = FeatureStore(Path(folder)).get(recipe, range(len(WIDTHS)), {}, generate).blocks
    read = time.perf_counter() - started
    with one_thread():
        for values in blocks.values():
            rows = np.arange(3 * len(values) // 4)
            LedoitWolf().fit(Samples(values, rows))
    fitted = time.perf_counter() - started - read
    print(f"| {int(limit) or 'none'} | {way} | {read:.1f} | {fitted:.1f} |")


if __name__ == "__main__":
    main()
