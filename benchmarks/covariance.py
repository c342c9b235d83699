"""The estimators beside scikit-learn's: one fit, a category's folds, and a stream of vectors.

    python benchmarks/covariance.py [--rounds 7] [--threads 2]

Both sides run in one process, in turn, several rounds; a ratio is the median of the rounds' ratios,
so that a change of the machine's pace falls on both sides. With other work on the machine,
--threads 1 is the fairer: two threads of a library then wait for one another, whoever calls it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from statistics import median
from typing import Any

import numpy as np
import sklearn
import sklearn.covariance as theirs
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from gad_bench.data.split import CrossValidation
from gad_bench.gaussian import Moments, Samples
from gad_bench.gaussian import covariance as ours

Array = NDArray[np.float64]
Task = Callable[[], object]

ESTIMATORS: dict[str, tuple[ours.Covariance, Any]] = {
    "empirical": (ours.Empirical(), theirs.EmpiricalCovariance()),
    "shrunk": (ours.Shrunk(amount=0.1), theirs.ShrunkCovariance(shrinkage=0.1)),
    "ledoit_wolf": (ours.LedoitWolf(), theirs.LedoitWolf()),
    "oas": (ours.OracleApproximating(), theirs.OAS()),
}
COUNTS, DIMENSIONS = (20, 167, 2000), (48, 448, 1792)
TESTED = 83  # the test images of MVTec AD's bottle
BLOCKS = (48, 24, 32, 56, 112, 160, 272, 448, 1792)  # EfficientNet-B4
IMAGES, FOLDS = 209, 5
FOLDED = ("shrunk", "ledoit_wolf", "oas")
STREAM, WIDTH, BATCH = 1_000_000, 448, 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    print(f"{arguments.threads} threads, {describe_machine()}\n")
    with threadpool_limits(arguments.threads):
        print_fits(arguments.rounds)
        print_folds(arguments.rounds)
    print_stream(arguments.threads)


def print_fits(rounds: int) -> None:
    print(
        "| N | D | estimator | scikit-learn, ms | here, ms | times as fast | largest difference |"
    )
    print("|---|---|---|---|---|---|---|")
    for dimension in DIMENSIONS:
        for count in COUNTS:
            for name in ESTIMATORS:
                if name != "empirical" or count > dimension:
                    print_fit(name, count, dimension, rounds)


def print_fit(name: str, count: int, dimension: int, rounds: int) -> None:
    values, tested = vectors(count, dimension, 0), vectors(TESTED, dimension, 1)
    mine, reference = ESTIMATORS[name]

    def here() -> Array:
        return mine.fit(Samples(values)).distance(tested)

    def there() -> Array:
        return np.sqrt(reference.fit(values).mahalanobis(tested))

    difference = np.abs(here() / there() - 1).max()
    seconds_there, seconds_here, ratio = compare(there, here, rounds)
    print(
        f"| {count} | {dimension} | {name} | {1e3 * seconds_there:.2f} | {1e3 * seconds_here:.2f} "
        f"| {ratio:.1f} | {difference:.0e} |",
        flush=True,
    )


def print_folds(rounds: int) -> None:
    blocks = [vectors(IMAGES, dimension, 2) for dimension in BLOCKS]
    rows = [train for train, _ in CrossValidation(n_splits=FOLDS).splits(IMAGES)]

    def here() -> None:
        for block in blocks:
            category = Samples(block)
            for fold in map(category.take, rows):
                for name in FOLDED:
                    ESTIMATORS[name][0].fit(fold)

    def there() -> None:
        for block in blocks:
            for fold in rows:
                for name in FOLDED:
                    ESTIMATORS[name][1].fit(block[fold])

    seconds_there, seconds_here, ratio = compare(there, here, min(rounds, 3))
    print(
        f"\n{FOLDS} folds of {IMAGES} images, {len(BLOCKS)} blocks, {', '.join(FOLDED)}: "
        f"scikit-learn {seconds_there:.1f} s, here {seconds_here:.2f} s, {ratio:.0f} times as fast",
        flush=True,
    )


def print_stream(threads: int) -> None:
    """Measure either way in a process of its own, whose peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        results = [pool.apply(run, (threads,)) for run in (in_a_stream, in_memory)]
    (streamed, *stream), (whole, *memory) = results
    difference = np.abs(streamed / whole - 1).max()
    print(f"\nledoit_wolf of {STREAM:,} vectors of {WIDTH} features, their making included")
    for name, (seconds, mebibytes) in {"in a stream": stream, "in memory": memory}.items():
        print(f"{name}: {seconds:.1f} s, {mebibytes:.0f} MiB more than before")
    print(f"largest difference of a distance: {difference:.0e}")


def in_a_stream(threads: int) -> tuple[Array, float, float]:
    def fit() -> Array:
        moments = reduce(add, map(Moments.of, batches()))
        return ours.LedoitWolf().fit(moments).distance(vectors(TESTED, WIDTH, 1))

    return measure_memory(fit, threads)


def in_memory(threads: int) -> tuple[Array, float, float]:
    def fit() -> Array:
        values = np.empty((STREAM, WIDTH), dtype=np.float32)
        for start, batch in zip(range(0, STREAM, BATCH), batches(), strict=True):
            values[start : start + BATCH] = batch
        centred = values - values.mean(axis=0, dtype=np.float64)  # all at once, in float64
        covariance = centred.T @ centred / STREAM
        fourth = np.mean(np.einsum("nd,nd->n", centred, centred) ** 2)
        trace, square = np.trace(covariance), np.sum(covariance**2)
        amount = (fourth - square) / STREAM / (square - trace**2 / WIDTH)
        shrunk = (1 - amount) * covariance + amount * trace / WIDTH * np.eye(WIDTH)
        tested = vectors(TESTED, WIDTH, 1) - values.mean(axis=0, dtype=np.float64)
        return np.sqrt(np.sum(tested * np.linalg.solve(shrunk, tested.T).T, axis=1))

    return measure_memory(fit, threads)


def measure_memory(fit: Callable[[], Array], threads: int) -> tuple[Array, float, float]:
    reduce(add, map(Moments.of, [np.eye(WIDTH)] * 2))  # loads what numpy loads on first use
    before, started = peak_mebibytes(), time.perf_counter()
    with threadpool_limits(threads):
        distances = fit()
    return distances, time.perf_counter() - started, peak_mebibytes() - before


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def batches() -> Iterator[NDArray[np.float32]]:
    """Make the stream anew; the same at each call."""
    generator = np.random.default_rng(3)
    scale = np.logspace(-2, 2, WIDTH, dtype=np.float32)
    for start in range(0, STREAM, BATCH):
        shape = (min(BATCH, STREAM - start), WIDTH)
        values = generator.standard_normal(shape, dtype=np.float32)
        values[:, 1:] += values[:, :-1]
        yield (values + 1) * scale


def vectors(count: int, dimension: int, seed: int) -> Array:
    """Correlated vectors whose deviations span two decades, as a block's features do."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((count, dimension))
    values[:, 1:] += values[:, :-1]
    return (values + 1) * np.logspace(-1, 1, dimension)


def compare(there: Task, here: Task, rounds: int) -> tuple[float, float, float]:
    """Return the median seconds of both, and the median of the rounds' ratios."""
    pairs = [(seconds(there), seconds(here)) for _ in range(rounds)]
    first, second = zip(*pairs, strict=True)
    return median(first), median(second), median(one / two for one, two in pairs)


def seconds(task: Task) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def describe_machine() -> str:
    versions = f"numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {versions}"


if __name__ == "__main__":
    main()
