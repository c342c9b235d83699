"""Peak memory of an extraction, by the number of images: it must not grow with them.

    python benchmarks/memory.py [--counts 10000 100000] [--passes 100]

Small generated images go through a small filter bank into a fresh store, each count in a process of
its own; what is printed is the process's peak beyond its size before the extraction, less what the
caller keeps: the features themselves. With passes, those are of augmented images, and they are
fitted: "peak of the fit" is what that adds.
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

from gad_bench.config import build, compose_config
from gad_bench.data.augmentation import PaperAugmentation
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.features.blocks import Blocks
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder, Features
from gad_bench.features.runtime import OpenVinoRuntime
from gad_bench.features.source import FeatureSource
from gad_bench.gaussian import Samples
from gad_bench.gaussian.covariance import LedoitWolf

SIDE = 16
MEBIBYTE = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--passes", type=int, default=0, help="of augmentation; 0 for none")
    parser.add_argument("--one", type=Path, help="measure this folder, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.one, arguments.passes)
        return
    print("| images | s | vectors/s | features kept, MiB | peak beyond them, MiB | with the fit |")
    print("|---|---|---|---|---|---|", flush=True)
    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder), count)
            options = ["--one", folder, "--passes", str(arguments.passes)]
            subprocess.run([sys.executable, __file__, *options], check=True)


def generate(folder: Path, count: int, seed: int = 0, darkest: int = 0) -> None:
    noise = np.random.default_rng(seed)
    for number in range(count):
        image = noise.integers(darkest, 256, (SIDE, SIDE, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:06}.png"), image)


def measure(folder: Path, passes: int) -> None:
    paths = [str(path) for path in sorted(folder.glob("*.png"))]
    with tempfile.TemporaryDirectory() as cache:
        source = FeatureSource(
            encoder=Encoder(
                backbone=FilterBank(input_size=SIDE, octaves=1),
                runtime=OpenVinoRuntime(),
                device="cpu",
                batch_size=64,
            ),
            blocks=Blocks(),
            cache_dir=cache,
            about={},
        )
        fit(obtain(source, source.fingerprint(paths[:8]), passes))  # what is loaded once
        before = peak()
        started = time.perf_counter()
        images = source.fingerprint(paths)
        looking = peak() - before
        blocks = obtain(source, images, passes)
        seconds = time.perf_counter() - started
    kept = sum(block.nbytes for block in blocks.values())
    beyond = max(looking, peak() - before - kept)
    fit(blocks)
    fitted = max(looking, peak() - before - kept)
    rate = len(blocks[0]) / seconds
    sizes = " | ".join(f"{size / MEBIBYTE:.0f}" for size in (kept, beyond, fitted))
    print(f"| {len(paths)} | {seconds:.0f} | {rate:.0f} | {sizes} |")


def obtain(source: FeatureSource, images: Fingerprint, passes: int) -> dict[int, Features]:
    if passes == 0:
        return source.features(images).blocks
    wood = build(compose_config(["dataset=demo"]).dataset).facts("wood")
    augmentation = PaperAugmentation(passes=passes, seed=0, probability=0.5)
    return source.augmented(images, augmentation, wood).blocks


def fit(blocks: dict[int, Features]) -> None:
    for values in blocks.values():
        LedoitWolf().fit(Samples(values))


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
