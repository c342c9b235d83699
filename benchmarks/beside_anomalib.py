"""PaDiM, PatchCore and DFM here and in anomalib: time, memory and AUROC on the same images.

    python3 -m venv PEER && PEER/bin/pip install 'anomalib==2.7.*'
    python benchmarks/beside_anomalib.py --peer PEER/bin/python --assets FOLDER [--rounds 3]

Both start from the same pixels, read and resized beforehand, and the same weights of ResNet-18. To
fit takes the network's pass over the training images and what is learned of its maps, to score
takes the pass over the test images, their scores and their heat maps at the input's size. That pass
is measured by itself, too, in milliseconds an image. Each is measured in a process of its own with
one thread, the two sides in turn, in seconds of the processor, so that other work on the machine
counts for less; a ratio is the median of the rounds' ratios. anomalib's models are called as its
Lightning modules call them, in batches of 32 images, its default. Memory is the process's peak, its
libraries and the pixels included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pixels = NDArray[Any]
"""uint8 [images, side, side, 3], RGB."""
Fitted = Any
"""Either side's own."""

METHODS = ("padim", "patchcore", "dfm")
DATA = {"toothbrush": (256, None, None), "magnetic_tile": (96, 200, 100)}
"""Side of the input, and how many images to fit and to score, evenly chosen; None for all."""
BATCH = 32
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TAPS = ["maxpool", "layer1", "layer2", "layer3"]


class Images(NamedTuple):
    """Pixels to fit and to score, and which of the latter are anomalous [images]."""

    train: Pixels
    tested: Pixels
    labels: Array


class Sides(NamedTuple):
    """What is measured of either side: to fit, to score, and the network's pass over the latter."""

    fit: Callable[[], Fitted]
    score: Callable[[Fitted], Array]
    see: Callable[[], Any]


def main() -> None:
    arguments = parse()
    if arguments.side:
        measure_here(arguments)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(
        "| images | method | fit, s | anomalib | times as fast | images/s | anomalib "
        "| times as fast | network, ms | anomalib | AUROC | anomalib | peak, MB | anomalib |"
    )
    print("|" + "---|" * 14)
    for data in arguments.data:
        for method in arguments.methods:
            print_row(arguments, data, method)
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", help="the Python that has anomalib")
    parser.add_argument("--assets", type=Path, required=True, help="of weights and images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--data", nargs="*", default=list(DATA))
    parser.add_argument("--precision", default="float32", help="of our network: or bfloat16")
    parser.add_argument("--side", choices=("ours", "anomalib"), help=argparse.SUPPRESS)
    return parser.parse_args()


def print_row(arguments: argparse.Namespace, data: str, method: str) -> None:
    pairs = [
        [measured(arguments, side, data, method) for side in ("ours", "anomalib")]
        for _ in range(arguments.rounds)
    ]
    ours, peer = pairs[0]

    def middle(key: str, number: int) -> float:
        return median(pair[number][key] for pair in pairs)

    def ratio(key: str) -> float:
        return median(pair[1][key] / pair[0][key] for pair in pairs)

    print(
        f"| {data}, {ours['train']} at {DATA[data][0]} px | {method} "
        f"| {middle('fit', 0):.1f} | {middle('fit', 1):.1f} | **{ratio('fit'):.1f}** "
        f"| {ours['tested'] / middle('score', 0):.1f} | {ours['tested'] / middle('score', 1):.1f} "
        f"| **{ratio('score'):.1f}** | {1000 * middle('network', 0) / ours['tested']:.0f} "
        f"| {1000 * middle('network', 1) / ours['tested']:.0f} "
        f"| {100 * ours['auroc']:.1f} | {100 * peer['auroc']:.1f} "
        f"| {middle('peak', 0):.0f} | {middle('peak', 1):.0f} |",
        flush=True,
    )


def measured(arguments: argparse.Namespace, side: str, data: str, method: str) -> dict[str, Any]:
    """Measure a side in a process of its own."""
    python = sys.executable if side == "ours" else arguments.peer
    command = [python, __file__, "--side", side, "--assets", str(arguments.assets)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [*command, "--data", data, "--methods", method, "--precision", arguments.precision],
        env=os.environ | threads,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{side}, {method}, {data}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_here(arguments: argparse.Namespace) -> None:
    (data,), (method,) = arguments.data, arguments.methods
    images = read(arguments.assets, data)
    ways: dict[str, Callable[[str, Images, Path], Sides]] = {
        "ours": partial(ours, arguments.precision),
        "anomalib": anomalib,
    }
    weights = arguments.assets / "weights" / "resnet18_layer3.pth"
    fit, score, see = ways[arguments.side](method, images, weights)
    fitted, seconds_fit = timed(fit)
    scores, seconds_score = timed(lambda: score(fitted))
    _, seconds_see = timed(see)
    result = {
        "fit": seconds_fit,
        "score": seconds_score,
        "network": seconds_see,
        "auroc": auroc(images.labels, scores),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "train": len(images.train),
        "tested": len(images.tested),
    }
    print(json.dumps(result))


def ours(precision: str, method: str, images: Images, weights: Path) -> Sides:
    """Return this package's way: the runtime that it chooses, its detector's defaults."""
    from gad_bench.base.process import one_thread
    from gad_bench.config import build, compose_config
    from gad_bench.features.extraction import extract
    from gad_bench.features.interface import Encoder
    from gad_bench.features.maps import maps_work
    from gad_bench.features.runtime import AutoRuntime
    from gad_bench.features.timm_backbone import TimmBackbone
    from gad_bench.patches import BatchedMaps

    name = "patchcore_anomalib" if method == "patchcore" else method
    detector = build(compose_config([f"detector={name}"]).detector)
    side = images.train.shape[1]
    backbone = TimmBackbone(name="resnet18", weights=str(weights), input_size=side, taps=TAPS)
    encoder = Encoder(
        backbone=backbone, runtime=AutoRuntime(precision=precision), device="cpu", batch_size=16
    )
    work = maps_work(encoder, detector.blocks)

    next(extract([lambda: images.train[0]], work))  # builds and compiles, as `anomalib` has by here

    def batches(pixels: Pixels) -> Iterator[dict[int, Any]]:
        for batch in extract([partial(np.asarray, own) for own in pixels], work):
            yield dict(zip(detector.blocks, batch, strict=True))

    def fit() -> Fitted:
        parts = list(batches(images.train))
        maps = {block: np.concatenate([part[block] for part in parts]) for block in parts[0]}
        del parts
        with one_thread():
            return detector.fit(BatchedMaps(maps=maps, batch_size=16))

    def score(fitted: Fitted) -> Array:
        scores = []
        for maps in batches(images.tested):
            with one_thread():
                found = fitted.score(maps)
            heat = fitted.heat_maps(found.grids, side)
            assert all(np.isfinite(heat.at_size(row, side, side)).all() for row in range(len(heat)))
            scores.append(found.images)
        return np.concatenate(scores)

    return Sides(fit, score, lambda: list(batches(images.tested)))


def anomalib(method: str, images: Images, weights: Path) -> Sides:
    """Return anomalib's way: its models, with its defaults for this backbone."""
    import torch
    from anomalib.models.image.dfm.torch_model import DFMModel
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone: dict[str, Any] = {"backbone": "resnet18", "pre_trained": False}
    model: Any = {
        "padim": lambda: PadimModel(layers=TAPS[1:], **backbone),
        "patchcore": lambda: PatchcoreModel(layers=TAPS[2:], **backbone),
        "dfm": lambda: DFMModel(layer="layer3", **backbone),
    }[method]()
    state = torch.load(weights, weights_only=True)
    network = model.feature_extractor.feature_extractor
    missing = network.load_state_dict(state, strict=False).missing_keys
    assert not missing, missing
    mean, deviation = (torch.tensor(own).view(3, 1, 1) for own in (MEAN, DEVIATION))

    def batches(pixels: Pixels) -> Iterator[Any]:
        for start in range(0, len(pixels), BATCH):
            batch = torch.from_numpy(pixels[start : start + BATCH]).permute(0, 3, 1, 2)
            yield ((batch.float() / 255 - mean) / deviation).contiguous()

    with torch.no_grad():
        model.feature_extractor(next(batches(images.train[:1])))

    def fit() -> Fitted:
        model.train()
        with torch.no_grad():
            for batch in batches(images.train):
                model(batch)
            model.subsample_embedding(0.1) if method == "patchcore" else model.fit()
        return model.eval()

    def score(fitted: Fitted) -> Array:
        scores = []
        with torch.inference_mode():
            for batch in batches(images.tested):
                found = fitted(batch)
                assert found.anomaly_map.isfinite().all()
                scores.append(found.pred_score.flatten().numpy())
        return np.concatenate(scores)

    def see() -> list[Any]:
        with torch.inference_mode():
            return [model.feature_extractor(batch) for batch in batches(images.tested)]

    return Sides(fit, score, see)


def read(assets: Path, data: str) -> Images:
    """Read and resize the images of a category."""
    side, most_train, most_tested = DATA[data]
    folder = assets / "images" / data
    train = evenly(sorted(folder.glob("train/good/*.*")), most_train)
    good, bad = (
        sorted(p for p in folder.glob("test/*/*.*") if (p.parent.name == "good") == is_good)
        for is_good in (True, False)
    )
    half = most_tested and most_tested // 2
    tested = [*evenly(good, half), *evenly(bad, half)]
    labels = np.array([path.parent.name != "good" for path in tested])
    return Images(pixels_of(train, side), pixels_of(tested, side), labels)


def evenly(paths: list[Path], most: int | None) -> list[Path]:
    if most is None or len(paths) <= most:
        return paths
    return [paths[row * len(paths) // most] for row in range(most)]


def pixels_of(paths: list[Path], side: int) -> Pixels:
    read = [cv2.imread(str(path)) for path in paths]
    return np.stack([cv2.resize(own, (side, side))[..., ::-1] for own in read if own is not None])


def timed(task: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    done = task()
    return done, time.process_time() - started


def auroc(labels: Array, scores: Array) -> float:
    """Return the share of pairs of a good and an anomalous image that are in order."""
    good, bad = scores[~labels], scores[labels]
    return float(np.mean((bad[:, None] > good) + 0.5 * (bad[:, None] == good)))


if __name__ == "__main__":
    main()
