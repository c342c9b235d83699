"""Time per image, one at a time, beside images per second in batches, by a saved detector.

    python benchmarks/latency.py --detector DIR --images DIR --onnx FILE --openvino FILE

All ways run in one process, in turn, several rounds; a ratio is the median of the rounds' ratios.
From an image in memory to its score, so that reading files is left out.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from gad_bench import Detector
from gad_bench.data.images import SUFFIXES
from gad_bench.deploy.exporting import INPUT
from gad_bench.features.extraction import read_input
from gad_bench.features.interface import Pixels
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime

BATCHES = "in batches"
ALONE = "one at a time"
PLAIN = "plain PyTorch, the backbone alone"


def main() -> None:
    arguments = parse()
    detector = Detector.load(arguments.detector, device="cpu")
    size = detector.scorer.backbone.image_size()
    files = sorted(path for path in arguments.images.rglob("*") if path.suffix in SUFFIXES)
    pixels = np.stack([read_input(str(path), size) for path in files[: arguments.count]])
    ways = plain(detector) | ready(detector) | graphs(arguments)
    for way in ways.values():
        way(pixels[:2])  # compiles
    seconds = measure(ways, pixels, arguments.rounds)
    threads, machine = torch.get_num_threads(), platform.machine()
    print(f"{detector.scorer.backbone.name}, {len(pixels)} images, {threads} threads, {machine}\n")
    print_table(seconds, len(pixels))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detector", required=True, help="a folder that save= wrote")
    parser.add_argument("--images", type=Path, required=True, help="a folder of images")
    parser.add_argument("--onnx", help="its graph as ONNX, for ONNX Runtime")
    parser.add_argument("--openvino", help="its graph as OpenVINO's .xml")
    parser.add_argument("--count", type=int, default=24, help="images a round")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


Way = Callable[[Pixels], None]


def plain(detector: Detector) -> dict[str, Way]:
    """What a script without this package does, and without any Gaussian."""
    blocks = max(detector.scorer.blocks)
    module = detector.scorer.backbone.build(blocks)

    def run(pixels: Pixels) -> None:
        with torch.inference_mode():
            module(torch.from_numpy(pixels))

    return {f"{PLAIN}, {ALONE}": each(run), f"{PLAIN}, {BATCHES}": run}


def ready(detector: Detector) -> dict[str, Way]:
    """The detector with either runtime."""
    ways: dict[str, Way] = {}
    for runtime in (TorchRuntime(), OpenVinoRuntime()):
        scorer = replace(detector.scorer, runtime=runtime)
        own = replace(detector, scorer=scorer)
        name = f"Detector.predict, {runtime.facts('cpu')['runtime']}"

        def run(pixels: Pixels, own: Detector = own) -> None:
            own.predict(pixels, heat_maps=False)

        ways |= {f"{name}, {ALONE}": each(run), f"{name}, {BATCHES}": run}
    return ways


def graphs(arguments: argparse.Namespace) -> dict[str, Way]:
    """The exported graphs, each in its runtime."""
    ways: dict[str, Way] = {}
    if arguments.onnx:
        import onnxruntime

        session = onnxruntime.InferenceSession(arguments.onnx, providers=["CPUExecutionProvider"])

        def run_onnx(pixels: Pixels) -> None:
            session.run(None, {INPUT: pixels})

        ways |= {f"ONNX Runtime, {ALONE}": each(run_onnx), f"ONNX Runtime, {BATCHES}": run_onnx}
    if arguments.openvino:
        import openvino

        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        model = openvino.Core().compile_model(arguments.openvino, "CPU", settings)
        ways |= {f"OpenVINO graph, {ALONE}": each(lambda pixels: model(pixels) and None)}
    return ways


def each(run: Way) -> Way:
    def one_at_a_time(pixels: Pixels) -> None:
        for row in range(len(pixels)):
            run(pixels[row : row + 1])

    return one_at_a_time


def measure(ways: dict[str, Way], pixels: Pixels, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            started = time.perf_counter()
            run(pixels)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def print_table(seconds: dict[str, list[float]], images: int) -> None:
    print("| way | ms an image | images/s | times plain PyTorch in the same way |")
    print("|---|---|---|---|")
    for name, own in seconds.items():
        mode = ALONE if name.endswith(ALONE) else BATCHES
        reference = seconds[f"{PLAIN}, {mode}"]
        ratio = median(theirs / ours for theirs, ours in zip(reference, own, strict=True))
        each_ms = 1000 * median(own) / images
        print(f"| {name} | {each_ms:.1f} | {images / median(own):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
