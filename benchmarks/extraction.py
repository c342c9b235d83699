"""Images per second from files to features in the store, and what each step costs.

    python benchmarks/extraction.py --backbone efficientnet-b4 --images DIR --weights FILE

All variants run in one process, in turn, several rounds; a ratio is the median of the rounds'
ratios, so that a change of the machine's pace falls on both sides.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from gad_bench.config import build
from gad_bench.data.images import SUFFIXES
from gad_bench.features.extraction import extract, read_square
from gad_bench.features.interface import Backbone, Features, Runtime
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime
from gad_bench.features.store import FeatureStore, Recipe
from gad_bench.paths import config_folder

BATCH = 16
EAGER = f"plain PyTorch, batches of {BATCH}"
BARE = "OpenVINO alone, images in memory"
Extraction = Iterator[tuple[Features, ...]]


def main() -> None:
    arguments = parse()
    backbone = choose_backbone(arguments.backbone, arguments.weights)
    files = (path for path in sorted(arguments.images.rglob("*")) if path.suffix in SUFFIXES)
    paths = [str(path) for path in islice(files, arguments.count)]
    variants = {
        EAGER: to_store(paths, plain(backbone, BATCH)),
        "plain PyTorch, batches of 4": to_store(paths, plain(backbone, 4)),
        "runtime=torch": to_store(paths, Ready(backbone, TorchRuntime())),
        "runtime=openvino": to_store(paths, Ready(backbone, OpenVinoRuntime())),
        BARE: in_memory(paths, backbone),
        "reading and resizing alone, one thread": lambda: read_all(paths, backbone),
    }
    seconds = measure(variants, arguments.rounds)
    print(f"{backbone.name}, {len(paths)} images, {describe_machine()}\n")
    print_table(seconds, len(paths))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="efficientnet-b4", help="a choice of conf/backbone")
    parser.add_argument("--weights", help="its checkpoint; random weights without")
    parser.add_argument("--images", type=Path, required=True, help="a folder of images")
    parser.add_argument("--count", type=int, default=48, help="images a round")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def choose_backbone(name: str, weights: str | None) -> Backbone:
    origin = f"weights={weights}" if weights else "pretrained=false"
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose(f"backbone/{name}", overrides=[f"backbone.{origin}"])
    backbone: Backbone = build(config.backbone)
    return backbone


def plain(backbone: Backbone, batch_size: int) -> Callable[[Sequence[str]], Extraction]:
    """What a script without this package does: eager, default layout, nothing overlapped."""
    module = backbone.build(backbone.block_count() - 1)

    def run(paths: Sequence[str]) -> Extraction:
        for start in range(0, len(paths), batch_size):
            part = paths[start : start + batch_size]
            batch = np.stack([read_square(path, backbone.image_size()) for path in part])
            with torch.inference_mode():
                yield tuple(block.numpy() for block in module(torch.from_numpy(batch)))

    return run


class Ready:
    """A backbone and a runtime in one, whose model is built beforehand."""

    def __init__(self, backbone: Backbone, runtime: Runtime) -> None:
        deepest = backbone.block_count() - 1
        self.name, self.image_size = backbone.name, backbone.image_size
        model = runtime.compile(backbone.build(deepest), backbone.image_size(), "cpu")
        self.build = lambda _deepest: None
        self.compile = lambda *_: model
        self.facts = lambda *_: {"model": id(model)}
        self.deepest = deepest

    def __call__(self, paths: Sequence[str]) -> Extraction:
        size = self.image_size()
        return extract(
            [partial(read_square, path, size) for path in paths],
            backbone=self,
            runtime=self,
            deepest=self.deepest,
            batch_size=BATCH,
            device="cpu",
        )


def to_store(
    paths: Sequence[str], run: Callable[[Sequence[str]], Extraction]
) -> Callable[[], None]:
    def once() -> None:
        with tempfile.TemporaryDirectory() as folder:
            FeatureStore(Path(folder)).get(
                Recipe({}, paths),
                blocks=[0],
                about={},
                extract=lambda rows, _: run([paths[row] for row in rows]),
            )

    return once


def in_memory(paths: Sequence[str], backbone: Backbone) -> Callable[[], None]:
    runtime, size = OpenVinoRuntime(), backbone.image_size()
    model = runtime.compile(backbone.build(backbone.block_count() - 1), size, "cpu")
    pixels = np.stack([read_square(path, size) for path in paths])
    return lambda: model(pixels) and None


def read_all(paths: Sequence[str], backbone: Backbone) -> None:
    for path in paths:
        read_square(path, backbone.image_size())


def measure(variants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def print_table(seconds: dict[str, list[float]], images: int) -> None:
    print("| variant | images/s | times plain PyTorch | of bare OpenVINO |")
    print("|---|---|---|---|")
    for name, own in seconds.items():
        to_eager, to_bare = (
            median(theirs / ours for theirs, ours in zip(seconds[other], own, strict=True))
            for other in (EAGER, BARE)
        )
        print(f"| {name} | {images / median(own):.1f} | {to_eager:.2f} | {to_bare:.2f} |")


def describe_machine() -> str:
    return f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
