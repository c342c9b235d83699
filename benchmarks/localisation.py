"""What exact pixel metrics cost, against a plain implementation of the same.

    python benchmarks/localisation.py --images 8 --side 512

Plain: scikit-learn's AUROC and average precision, and the overlap of each region at each of some
thresholds, which is how AUPRO is usually written down. Its AUPRO is approximate, ours is exact.
Both run in one process, in turn, several rounds; a ratio is the median of the rounds' ratios. The
last line extrapolates ours to MVTec AD's 1,725 test images of a million pixels.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from gad_bench.evaluation.pixels import Map, Mask, pixel_metrics

LIMIT = 0.3
MVTEC_PIXELS = 1725 * 1e6

Images = list[tuple[Map, Mask]]


def main() -> None:
    arguments = parse()
    images = some_images(arguments.images, arguments.side)
    ways = {
        "ours, exact": lambda: pixel_metrics(images),
        f"plain, AUPRO at {arguments.thresholds} thresholds": lambda: plain(
            images, arguments.thresholds
        ),
    }
    seconds, found = measure(ways, arguments.rounds)
    report(seconds, found, pixels=arguments.images * arguments.side**2)
    if arguments.large:
        measure_large(arguments.large)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--side", type=int, default=512, help="of an image, in pixels")
    parser.add_argument("--thresholds", type=int, default=200, help="of the plain AUPRO")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=0, help="also ours alone on N megapixel maps")
    return parser.parse_args()


def some_images(count: int, side: int) -> Images:
    """Smooth maps that see blobs through noise; every third image is good."""
    return [one_image(np.random.default_rng(index), side, index % 3 > 0) for index in range(count)]


def one_image(generator: np.random.Generator, side: int, anomalous: bool) -> tuple[Map, Mask]:
    blobs = np.kron(generator.standard_normal((16, 16)), np.ones((side // 16, side // 16)))
    blobs = ndimage.gaussian_filter(blobs, side / 32)
    mask = blobs > np.quantile(blobs, 0.97) if anomalous else np.zeros((side, side), bool)
    noise = generator.standard_normal((side, side))
    heat = ndimage.gaussian_filter(0.2 * mask + noise, 4)
    return heat.astype(np.float32), mask


def plain(images: Images, thresholds: int) -> dict[str, float]:
    truth = np.concatenate([mask.ravel() for _, mask in images])
    heat = np.concatenate([values.ravel() for values, _ in images])
    return {
        "pixel_auroc": float(roc_auc_score(truth, heat)),
        "pixel_ap": float(average_precision_score(truth, heat)),
        "aupro": plain_aupro(images, np.linspace(heat.max(), heat.min(), thresholds)),
    }


def plain_aupro(images: Images, thresholds: NDArray[np.floating]) -> float:
    labelled = [ndimage.label(mask, np.ones((3, 3))) for _, mask in images]
    good = sum(int((~mask).sum()) for _, mask in images)
    rates, overlaps = [0.0], [0.0]
    for threshold in thresholds:
        shares, false = [], 0
        for (heat, mask), (labels, count) in zip(images, labelled, strict=True):
            reached = heat >= threshold
            false += int((reached & ~mask).sum())
            shares += [reached[labels == label].mean() for label in range(1, count + 1)]
        rates.append(false / good)
        overlaps.append(float(np.mean(shares)))
    grid = np.linspace(0, LIMIT, 1000)
    return float(np.trapezoid(np.interp(grid, rates, overlaps), grid) / LIMIT)


def measure(
    ways: dict[str, Callable[[], dict[str, float]]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, dict[str, float]]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - started)
    return seconds, found


def report(
    seconds: dict[str, list[float]], found: dict[str, dict[str, float]], pixels: int
) -> None:
    ours, other = seconds
    ratio = median(b / a for a, b in zip(seconds[ours], seconds[other], strict=True))
    print(f"{pixels / 1e6:.1f} megapixels")
    for name, own in seconds.items():
        areas = ", ".join(f"{key} {found[name][key]:.6f}" for key in sorted(found[other]))
        print(f"{name}: {median(own):.2f} s, {areas}")
    print(f"ours is {ratio:.1f} times as fast")
    whole = median(seconds[ours]) * MVTEC_PIXELS / pixels
    print(f"ours, extrapolated to MVTec AD's {MVTEC_PIXELS / 1e6:.0f} megapixels: {whole:.0f} s")


class Drawn:
    """Megapixel maps that are made anew each time, as a run's are: none is kept."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.few = some_images(6, 1024)

    def __iter__(self) -> Iterator[tuple[Map, Mask]]:
        for index in range(self.count):
            heat, mask = self.few[index % len(self.few)]
            yield heat + np.float32(index * 1e-6), mask


def measure_large(count: int) -> None:
    started = time.perf_counter()
    pixel_metrics(Drawn(count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - started
    print(f"ours on {count} maps of 1024 x 1024: {seconds:.1f} s, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
