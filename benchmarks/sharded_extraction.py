"""A category too big for one process: its extraction on a Ray cluster against one process.

    ray start --head --num-cpus=1               # the cluster's first worker
    python benchmarks/sharded_extraction.py --images DIR
    ray start --address=HOST:6379 --num-cpus=1  # the second, and so on
    python benchmarks/sharded_extraction.py --images DIR

Features are compared to the last bit. The statistics of each block are summed by shard, by the
workers, and merged; they are compared with those of all vectors at once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np

from gad_bench.base.process import one_thread
from gad_bench.config import build, compose_config
from gad_bench.data.images import SUFFIXES
from gad_bench.features.interface import Encoder
from gad_bench.features.shards import read_shard, shard_files
from gad_bench.features.source import FeatureSource
from gad_bench.features.store import StoredFeatures
from gad_bench.gaussian.moments import Moments

TINY = ["backbone=filterbank", "backbone.input_size=16", "backbone.octaves=1"]


def main() -> None:
    arguments = parse()
    paths = [str(path) for path in sorted(arguments.images.rglob("*")) if path.suffix in SUFFIXES]
    with tempfile.TemporaryDirectory() as folder:
        serial = extract(paths, "here", Path(folder) / "here", arguments.overrides)
        shared = extract(paths, "ray", Path(folder) / "ray", arguments.overrides)
        for block, features in serial.blocks.items():
            np.testing.assert_array_equal(shared.blocks[block], features)
        seconds, merged = merge(shared)
        compare(serial, merged)
    workers = cluster_workers()
    print(f"{len(paths)} images, features equal to the last bit, {workers} workers")
    print("| where | seconds | images/s | hours a million images |")
    print("|---|---|---|---|")
    for name, taken in (
        ("one process", serial.seconds_extract),
        (f"{workers} Ray workers", shared.seconds_extract),
        ("  their statistics, merged", seconds),
    ):
        pace = len(paths) / taken
        print(f"| {name} | {taken:.1f} | {pace:.0f} | {1e6 / pace / 3600:.2f} |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="a folder of images")
    parser.add_argument("overrides", nargs="*", default=TINY, help="of the config")
    return parser.parse_args()


def extract(
    paths: Sequence[str], where: str, cache: Path, overrides: Sequence[str]
) -> StoredFeatures:
    config = compose_config([*overrides, f"extraction={where}"])
    source = FeatureSource(
        encoder=Encoder(
            backbone=build(config.backbone),
            runtime=build(config.runtime),
            device=config.device,
            batch_size=config.batch_size,
        ),
        blocks=build(config.blocks),
        cache_dir=str(cache),
        about={},
        extraction=build(config.extraction),
    )
    return source.features(paths)


def merge(stored: StoredFeatures) -> tuple[float, dict[int, Moments]]:
    """Sum over shards, each by a worker that reads it from the store."""
    import ray

    started = time.perf_counter()
    task = ray.remote(num_cpus=1)(moments_of)
    files = list(shard_files(stored.path).values())
    size = max(len(files) // 64, 1)
    parts = [
        task.remote(files[start : start + size], list(stored.blocks))
        for start in range(0, len(files), size)
    ]
    merged: dict[int, Moments] = {}
    for part in map(ray.get, parts):
        merged = {b: merged[b] + moments if merged else moments for b, moments in part.items()}
    return time.perf_counter() - started, merged


def moments_of(files: Sequence[Path], blocks: Sequence[int]) -> dict[int, Moments]:
    read = [dict(zip(blocks, read_shard(file, blocks), strict=True)) for file in files]
    return {block: reduce(add, (Moments.of(shard[block]) for shard in read)) for block in blocks}


def compare(serial: StoredFeatures, merged: dict[int, Moments]) -> None:
    with one_thread():
        for block, features in serial.blocks.items():
            whole = Moments.of(features)
            assert merged[block].count == whole.count
            np.testing.assert_allclose(merged[block].mean, whole.mean, rtol=1e-12)
            scale = np.abs(whole.covariance).max()
            np.testing.assert_allclose(
                merged[block].covariance, whole.covariance, rtol=1e-9, atol=1e-12 * scale
            )


def cluster_workers() -> int:
    import ray

    return int(ray.cluster_resources()["CPU"])


if __name__ == "__main__":
    main()
