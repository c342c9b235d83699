"""Images per second from files to features in the store, and what each step costs.

    python benchmarks/extraction.py --backbone efficientnet-b4 --images DIR --weights FILE
    python benchmarks/extraction.py ... --device cuda --batch-size 64 [--precision float32 --tf32]

All variants run in one process, in turn, several rounds; a ratio is the median of the rounds'
ratios, so that a change of the machine's pace falls on both sides.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from gad_bench.base.process import config_folder, thread_count
from gad_bench.data.fingerprint import fingerprint
from gad_bench.data.images import SUFFIXES
from gad_bench.features.decoded import DecodedImages
from gad_bench.features.extraction import extract, read_input
from gad_bench.features.interface import (
    Backbone,
    Encoder,
    Features,
    Pixels,
    Runtime,
    Size,
    Work,
    height_and_width,
)
from gad_bench.features.ready import ready_model
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime
from gad_bench.features.store import FeatureStore, Recipe

Extraction = Iterator[tuple[Features, ...]]
Run = Callable[[], None]
SIDE = 2048  # of the matrices whose product stands for what the machine can do


def main() -> None:
    arguments = parse()
    backbone = choose_backbone(arguments.backbone, arguments.weights)
    files = (path for path in sorted(arguments.images.rglob("*")) if path.suffix in SUFFIXES)
    paths = [str(path) for path in islice(files, arguments.count)]
    with tempfile.TemporaryDirectory() as cache:
        compared = on_cpu if arguments.device == "cpu" else on_gpu
        variants = compared(arguments, backbone, paths, Path(cache))
        seconds = measure(variants, arguments.rounds)
    eager, *_, bare, reading = seconds
    print(f"{backbone.name}, {len(paths)} images, {describe_machine(arguments.device)}\n")
    print_table(seconds, len(paths), eager, bare)
    rates = {name: len(paths) / median(seconds[name]) for name in (bare, reading)}
    print_limit(backbone, arguments.device, bare, rates[bare])
    slower = min(rates, key=lambda name: rates[name])
    print(f"from such files the bottleneck is: {slower}, {rates[slower]:.0f} images/s")


def on_cpu(
    arguments: argparse.Namespace, backbone: Backbone, paths: Sequence[str], cache: Path
) -> dict[str, Run]:
    batch = arguments.batch_size
    openvino = Ours(backbone, OpenVinoRuntime(), "cpu", batch)
    return {
        f"plain PyTorch, batches of {batch}": to_store(paths, plain(backbone, batch)),
        "plain PyTorch, batches of 4": to_store(paths, plain(backbone, 4)),
        "`runtime=torch`": to_store(paths, Ours(backbone, TorchRuntime(), "cpu", batch)),
        "`runtime=openvino`": to_store(paths, openvino),
        "`runtime=openvino keep_images=true`": to_store(paths, openvino.keeping(paths, cache)),
        "OpenVINO alone, images in memory": in_memory(openvino, paths),
        "reading and resizing alone": lambda: read_all(paths, backbone.image_size()),
    }


def on_gpu(
    arguments: argparse.Namespace, backbone: Backbone, paths: Sequence[str], cache: Path
) -> dict[str, Run]:
    device, batch = arguments.device, arguments.batch_size
    runtime = TorchRuntime(precision=arguments.precision, tf32=arguments.tf32)
    ours = Ours(backbone, runtime, device, batch)
    workers = f"plain PyTorch, {thread_count()} processes read"
    return {
        workers: to_store(paths, plain_with_workers(backbone, batch, device)),
        "`runtime=torch`": to_store(paths, ours),
        "`runtime=torch keep_images=true`": to_store(paths, ours.keeping(paths, cache)),
        "PyTorch alone, images on the device": on_device(backbone, runtime, arguments, paths),
        "reading and resizing alone": lambda: read_all(paths, backbone.image_size()),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="efficientnet-b4", help="a choice of conf/backbone")
    parser.add_argument("--weights", help="its checkpoint; random weights without")
    parser.add_argument("--images", type=Path, required=True, help="a folder of images")
    parser.add_argument("--count", type=int, default=48, help="images a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--precision", default="float32", help="on a GPU")
    parser.add_argument("--tf32", action="store_true", help="on a GPU")
    return parser.parse_args()


def choose_backbone(name: str, weights: str | None) -> Backbone:
    from hydra import compose, initialize_config_dir  # a GPU machine may lack it: gpu.py

    from gad_bench.config import build

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
            batch = np.stack([read_input(path, backbone.image_size()) for path in part])
            with torch.inference_mode():
                yield tuple(block.numpy() for block in module(torch.from_numpy(batch)))

    return run


class Files(Dataset[Pixels]):
    """Images, for PyTorch's own loader."""

    def __init__(self, paths: Sequence[str], size: Size) -> None:
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Pixels:
        return read_input(self.paths[row], self.size)


def plain_with_workers(
    backbone: Backbone, batch_size: int, device: str
) -> Callable[[Sequence[str]], Extraction]:
    """What a script on a GPU does: eager, default layout, read by PyTorch's worker processes."""
    module = backbone.build(backbone.block_count() - 1).to(device)

    def run(paths: Sequence[str]) -> Extraction:
        files = Files(paths, backbone.image_size())
        for batch in DataLoader(files, batch_size, num_workers=thread_count(), pin_memory=True):
            with torch.inference_mode():
                blocks = module(batch.to(device, non_blocking=True))
            yield tuple(block.cpu().numpy() for block in blocks)

    return run


class Ours:
    """Extraction as a run does it, by a model that is built beforehand and kept."""

    def __init__(self, backbone: Backbone, runtime: Runtime, device: str, batch_size: int) -> None:
        self.size = backbone.image_size()
        self.work = Work(
            encoder=Encoder(
                backbone=backbone, runtime=runtime, device=device, batch_size=batch_size
            ),
            deepest=backbone.block_count() - 1,
        )
        self.model = ready_model(self.work)

    def __call__(self, paths: Sequence[str]) -> Extraction:
        return extract([partial(read_input, path, self.size) for path in paths], self.work)

    def keeping(self, paths: Sequence[str], cache: Path) -> Callable[[Sequence[str]], Extraction]:
        """Return the same from decoded images, all of which are kept by now."""
        kept = DecodedImages(cache)
        digests = dict(zip(paths, fingerprint(paths, cache).digests, strict=True))
        read = {path: partial(kept.read, path, self.size, digests[path]) for path in paths}
        for image in read.values():
            image()
        return lambda wanted: extract([read[path] for path in wanted], self.work)


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


def in_memory(ours: Ours, paths: Sequence[str]) -> Run:
    pixels = np.stack([read_input(path, ours.size) for path in paths])

    def run() -> None:
        ours.model(pixels)

    return run


def on_device(
    backbone: Backbone,
    runtime: TorchRuntime,
    arguments: argparse.Namespace,
    paths: Sequence[str],
) -> Run:
    """The same module, precision and layout as the runtime's, on pixels that the device holds."""
    device, size = arguments.device, backbone.image_size()
    module = backbone.build(backbone.block_count() - 1).to(device)
    module = module.to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(np.stack([read_input(path, size) for path in paths])).to(device)
    precision = getattr(torch, runtime.precision)

    def run() -> None:
        kind, rounded = torch.device(device).type, precision != torch.float32
        with torch.inference_mode(), torch.autocast(kind, precision, enabled=rounded):
            for batch in torch.split(pixels, arguments.batch_size):
                module(batch)
        torch.accelerator.synchronize()

    return run


def read_all(paths: Sequence[str], size: Size) -> None:
    with ThreadPoolExecutor(thread_count()) as threads:
        list(threads.map(lambda path: read_input(path, size), paths))


def measure(variants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def print_table(seconds: dict[str, list[float]], images: int, eager: str, bare: str) -> None:
    print("| variant | images/s | times plain PyTorch | of the bare model |")
    print("|---|---|---|---|")
    for name, own in seconds.items():
        to_eager, to_bare = (
            median(theirs / ours for theirs, ours in zip(seconds[other], own, strict=True))
            for other in (eager, bare)
        )
        print(f"| {name} | {images / median(own):.1f} | {to_eager:.2f} | {to_bare:.2f} |")


def print_limit(backbone: Backbone, device: str, bare: str, images_per_second: float) -> None:
    """Tell how near the bare model comes to what the machine can do."""
    work = gigaflop(backbone)
    reached, limit = work * images_per_second, product_rate(device)
    print(
        f"\n{work:.2f} GFLOP an image; {bare}: {reached:.0f} GFLOP/s, {reached / limit:.0%} of the "
        f"{limit:.0f} of a float32 product of two matrices of {SIDE} x {SIDE}"
    )


def gigaflop(backbone: Backbone) -> float:
    size = backbone.image_size()
    module = backbone.build(backbone.block_count() - 1)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(torch.zeros((1, *height_and_width(size), 3), dtype=torch.uint8))
    return counter.get_total_flops() / 1e9


def product_rate(device: str) -> float:
    """Return the GFLOP/s of a float32 matrix product, the median of nine."""
    one, two = (torch.randn(SIDE, SIDE, device=device) for _ in range(2))
    rates = []
    for _ in range(9):
        started = time.perf_counter()
        float((one @ two)[0, 0])
        rates.append(2 * SIDE**3 / (time.perf_counter() - started) / 1e9)
    return median(rates)


def describe_machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    return f"{thread_count()} threads, {name}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
