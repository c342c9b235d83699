"""What a GPU would do for the detectors' own arithmetic: part of benchmarks/gpu.py.

The detectors fit and score on the CPU. Here is the same by torch on the card, written down plainly,
with how far its results are from the CPU's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import torch
from gpu_networks import Row, Settings, seconds_of
from numpy.typing import NDArray
from torch import Tensor

from gad_bench.gaussian.covariance import LedoitWolf
from gad_bench.gaussian.samples import Samples
from gad_bench.patches.coreset import greedy_centres
from gad_bench.patches.neighbours import Bank

Array = NDArray[Any]

VECTORS, PROJECTION, CENTRES = 163_856, 128, 2_000
"""Of 209 images of 28 x 28 positions, PatchCore's; of its 16,385 centres the first ones."""
ENTRIES, DIMENSION, QUERIES, NEIGHBOURS = 16_386, 1_536, 16 * 784, 5
SAMPLES, WIDTH, SCORED = 2_000, 1_792, 1_000
"""Of vectors as long as EfficientNet-B4's deepest block."""


def coreset(settings: Settings) -> Iterator[Row]:
    """PatchCore's greedy choice, which is exact on either side."""
    vectors, count = (2_000, 40) if settings.quick else (VECTORS, CENTRES)
    points = np.abs(np.random.default_rng(0).standard_normal((vectors, PROJECTION)))
    started = perf_counter()
    expected = greedy_centres(points, count, 0)  # which rounds them to whole numbers
    on_cpu = perf_counter() - started
    chosen = centres_on(torch.from_numpy(points).to(settings.device), count).cpu().numpy()
    there = torch.from_numpy(points).to(settings.device)
    on_card = seconds_of(lambda: centres_on(there, count), settings, rounds=1)
    what = f"coreset, {count} of {vectors} x {PROJECTION}"
    alike = float((chosen == expected).mean())
    yield _row(what, on_cpu, on_card, 1 - alike, alike == 1)


def centres_on(points: Tensor, count: int) -> Tensor:
    """Choose one by one, each the farthest from those before it; nothing waits for the card."""
    squares = (points * points).sum(1)
    nearest = torch.full_like(squares, torch.inf)
    chosen = torch.zeros(count, dtype=torch.long, device=points.device)
    for number in range(1, count):
        last = chosen[number - 1 : number]
        centre = points.index_select(0, last)[0]
        distances = torch.addmv(squares, points, centre, alpha=-2) + squares.index_select(0, last)
        nearest = torch.minimum(nearest, distances)
        chosen[number] = nearest.argmax()
    return chosen


def nearest(settings: Settings) -> Iterator[Row]:
    """The nearest of a bank, for sixteen images' vectors at once."""
    entries, queries = (500, 64) if settings.quick else (ENTRIES, QUERIES)
    generator = np.random.default_rng(0)
    bank = np.abs(generator.standard_normal((entries, DIMENSION), np.float32))
    asked = np.abs(generator.standard_normal((queries, DIMENSION), np.float32))
    index = Bank(entries=bank)
    (expected, _), on_cpu = timed(lambda: index.nearest(asked, NEIGHBOURS), settings)
    torch.backends.cuda.matmul.allow_tf32 = False
    there, wanted = (torch.from_numpy(x).to(settings.device) for x in (bank, asked))
    found, on_card = timed(lambda: nearest_on(wanted, there), settings)
    differ = float(np.abs(found.cpu().numpy() / expected - 1).max())
    what = f"{NEIGHBOURS} nearest of {entries} x {DIMENSION} for {queries}"
    yield _row(what, on_cpu, on_card, differ, differ <= 1e-4)


def nearest_on(queries: Tensor, bank: Tensor) -> Tensor:
    """Return the distances [queries, NEIGHBOURS], rising."""
    lengths = (bank * bank).sum(1)
    parts = [
        torch.addmm(lengths, part, bank.T, alpha=-2).topk(NEIGHBOURS, largest=False).values
        + (part * part).sum(1, keepdim=True)
        for part in torch.split(queries, 1024)
    ]
    return torch.cat(parts).clamp(min=0).sqrt()


def covariances(settings: Settings) -> Iterator[Row]:
    """Ledoit and Wolf's shrinkage by its formula, and Mahalanobis distances, in float64."""
    samples, width, scored = (60, 40, 30) if settings.quick else (SAMPLES, WIDTH, SCORED)
    generator = np.random.default_rng(0)
    mixing = generator.standard_normal((width, width)) / np.sqrt(width)
    fitted, asked = (generator.standard_normal((n, width)) @ mixing for n in (samples, scored))
    metric, on_cpu = timed(lambda: LedoitWolf().fit(Samples(fitted)), settings)
    expected, cpu_scoring = timed(lambda: metric.distance(asked), settings)
    there, wanted = (torch.from_numpy(x).to(settings.device) for x in (fitted, asked))
    (mean, triangle), on_card = timed(lambda: ledoit_wolf_on(there), settings)
    found, card_scoring = timed(lambda: distances_on(wanted, mean, triangle), settings)
    differ = float(np.abs(found.cpu().numpy() / expected - 1).max())
    what = f"ledoit_wolf of {samples} x {width}"
    yield _row(what, on_cpu, on_card, differ, differ <= 1e-8)
    yield _row(f"its distances of {scored}", cpu_scoring, card_scoring, differ, differ <= 1e-8)


def ledoit_wolf_on(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean, and the triangle L of the shrunk covariance L L'."""
    count, width = samples.shape
    mean = samples.mean(0)
    centred = samples - mean
    covariance = centred.T @ centred / count
    scale = covariance.diagonal().mean()
    around = (covariance * covariance).sum() - width * scale**2
    spread = ((centred * centred).sum(1) ** 2).sum() / count - (covariance * covariance).sum()
    amount = torch.minimum(spread / count / around, torch.ones_like(around)).clamp(min=0)
    shrunk = (1 - amount) * covariance
    shrunk.diagonal().add_(amount * scale)
    return mean, torch.linalg.cholesky(shrunk)


def distances_on(vectors: Tensor, mean: Tensor, triangle: Tensor) -> Tensor:
    steps = torch.linalg.solve_triangular(triangle, (vectors - mean).T, upper=False)
    return steps.square().sum(0).sqrt()


def timed(run: Callable[[], Any], settings: Settings) -> tuple[Any, float]:
    return run(), seconds_of(run, settings, rounds=1)


def _row(what: str, on_cpu: float, on_card: float, differ: float, holds: bool) -> Row:
    return {
        "what": what,
        "CPU, ms": 1000 * on_cpu,
        "card, ms": 1000 * on_card,
        "times as fast": on_cpu / on_card,
        "differ": differ,
        "holds": holds,
    }
