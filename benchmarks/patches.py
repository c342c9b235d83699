"""What detectors on patches cost, beside the plain way in numpy to the same scores.

    GAD_BENCH_TEST_ASSETS=FOLDER python benchmarks/patches.py [--rounds 3]

The features are ResNet-18's layers 1 to 3 of toothbrush at 224 pixels, 42 images to fit and 48 to
score; their extraction is no part of it. Both sides run in one process, in turn, several rounds; a
ratio is the median of the rounds' ratios. A plain way holds all vectors in memory, in float32 where
it is a search and in float64 where it is a covariance, and uses numpy's BLAS as one would write it
down. Seconds are those of the processor, of one thread, so that other work on the machine counts
for less.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from gad_bench.config import build, compose_config
from gad_bench.patches import BatchedMaps, FittedPatchDetector, Maps, PatchDetector
from gad_bench.patches.memory_bank import NearestPatches

Array = NDArray[Any]
Scorer = Callable[[Array], Array]
"""From vectors [images, h, w, dim] to scores [images, h, w]."""
Pair = tuple[float, float]
"""Seconds, ours and the plain way's."""

SIDE, BATCH = 224, 16
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BANKS = ((3292, 384), (16386, 384), (16386, 1536))
QUERIES = 784


def main() -> None:
    arguments = parse()
    os.environ["OMP_NUM_THREADS"] = "1"
    faiss.omp_set_num_threads(1)
    with threadpool_limits(1):
        train, test = features(Path(os.environ["GAD_BENCH_TEST_ASSETS"]))
        print(f"{platform.machine()}, numpy {np.__version__}, faiss {faiss.__version__}\n")
        print_methods(arguments, train, test)
        print_searches(arguments.rounds)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(PLAIN), help="some methods alone")
    return parser.parse_args()


def print_methods(arguments: argparse.Namespace, train: Maps, test: Maps) -> None:
    print("| method | fit, s | plain | times as fast | images/s | plain | times as fast | differ |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.only:
        print_method(name, train, test, arguments.rounds)


def print_method(name: str, train: Maps, test: Maps, rounds: int) -> None:
    blocks = [] if name in OWN_BLOCKS else ["detector.blocks=[2,3]", "detector.averaged=false"]
    detector: PatchDetector = build(compose_config([f"detector={name}", *blocks]).detector)
    measured = [one_round(name, detector, train, test) for _ in range(rounds)]
    fit, plain_fit, fit_ratio = medians([fits for fits, _, _ in measured])
    score, plain_score, score_ratio = medians([scores for _, scores, _ in measured])
    images = len(test[1])
    print(
        f"| {name} | {fit:.2f} | {plain_fit:.2f} | {fit_ratio:.1f} | {images / score:.0f} "
        f"| {images / plain_score:.0f} | {score_ratio:.1f} "
        f"| {max(differ for _, _, differ in measured):.0e} |",
        flush=True,
    )


def one_round(
    name: str, detector: PatchDetector, train: Maps, test: Maps
) -> tuple[Pair, Pair, float]:
    """Return the seconds of both sides to fit and to score, and how far the scores differ."""
    fitted, fit = timed(lambda: detector.fit(BatchedMaps(maps=train, batch_size=BATCH)))
    embed = fitted.embedding.apply
    scorer, plain_fit = timed(lambda: PLAIN[name](fitted, embed(train)))
    found, score = timed(lambda: in_batches(fitted.patch_scores, test))
    expected, plain_score = timed(lambda: in_batches(lambda maps: scorer(embed(maps)), test))
    return (fit, plain_fit), (score, plain_score), float(np.abs(found / expected - 1).max())


def print_searches(rounds: int) -> None:
    print(f"\nThe nearest of a bank, {QUERIES} queries (one image), ms")
    print("| bank | neighbours | faiss | numpy: product and argpartition | times as fast |")
    print("|---|---|---|---|---|")
    generator = np.random.default_rng(0)
    for count, dimension in BANKS:
        bank = np.abs(generator.standard_normal((count, dimension), np.float32))
        queries = np.abs(generator.standard_normal((QUERIES, dimension), np.float32))
        for neighbours in (1, 5, 9):
            print_search(queries, bank, neighbours, rounds)


def print_search(queries: Array, bank: Array, neighbours: int, rounds: int) -> None:
    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(bank)
    times = []
    for _ in range(rounds):
        _, seconds = timed(lambda: index.search(queries, neighbours))
        _, plain_seconds = timed(lambda: smallest(queries, bank, neighbours))
        times.append((seconds, plain_seconds))
    ours, plain, ratio = medians(times)
    print(
        f"| {len(bank)} x {bank.shape[1]} | {neighbours} | {1e3 * ours:.0f} | {1e3 * plain:.0f} "
        f"| {ratio:.1f} |",
        flush=True,
    )


def plain_padim(_: FittedPatchDetector, patches: Array) -> Scorer:
    images, height, width, dimension = patches.shape
    flat = patches.reshape(images, -1, dimension).astype(np.float64)
    means = flat.mean(axis=0)
    inverses = np.empty((height * width, dimension, dimension))
    for position in range(height * width):
        covariance = np.cov(flat[:, position].T) + 0.01 * np.eye(dimension)
        inverses[position] = np.linalg.inv(covariance)

    def score(tested: Array) -> Array:
        centred = tested.reshape(len(tested), -1, dimension) - means
        squared = np.empty(centred.shape[:2])
        for position, inverse in enumerate(inverses):
            own = centred[:, position]
            squared[:, position] = np.einsum("nd,nd->n", own @ inverse, own)
        return np.sqrt(squared).reshape(tested.shape[:3])

    return score


def plain_gaussian(_: FittedPatchDetector, patches: Array) -> Scorer:
    from sklearn.covariance import LedoitWolf

    flat = patches.reshape(-1, patches.shape[-1]).astype(np.float64)
    model = LedoitWolf().fit(flat)

    def score(tested: Array) -> Array:
        vectors = tested.reshape(-1, tested.shape[-1]).astype(np.float64)
        return np.sqrt(model.mahalanobis(vectors)).reshape(tested.shape[:3])

    return score


def plain_patchcore(fitted: FittedPatchDetector, patches: Array) -> Scorer:
    """Choose as many entries in float32, one by one; then search the other side's bank."""
    scorer = bank_of(fitted)
    flat = scorer.step.apply(patches.reshape(-1, patches.shape[-1]))
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((flat.shape[1], 128), np.float32)
    points = flat.astype(np.float32) @ directions
    squares = np.einsum("nd,nd->n", points, points)
    nearest = np.full(len(points), np.inf, np.float32)
    chosen = 0
    for _ in range(len(scorer.bank.entries)):
        distances = squares - 2 * points @ points[chosen] + squares[chosen]
        np.minimum(nearest, distances, out=nearest)
        chosen = int(nearest.argmax())
    return plain_search(fitted, scorer.bank.entries)


def plain_knn(fitted: FittedPatchDetector, patches: Array) -> Scorer:
    flat = patches.reshape(-1, patches.shape[-1])
    return plain_search(fitted, flat / np.linalg.norm(flat, axis=1, keepdims=True))


def plain_search(fitted: FittedPatchDetector, bank: Array) -> Scorer:
    step, cosine = bank_of(fitted).step, bank_of(fitted).metric == "cosine"

    def score(tested: Array) -> Array:
        images = []
        for image in tested:
            queries = step.apply(image.reshape(-1, image.shape[-1])).astype(np.float32)
            squared, _ = smallest(queries, bank, 1)
            images.append(squared[:, 0].reshape(image.shape[:2]))
        squared = np.maximum(np.stack(images), 0)
        return squared / 2 if cosine else np.sqrt(squared)

    return score


def bank_of(fitted: FittedPatchDetector) -> NearestPatches:
    assert isinstance(fitted.scorer, NearestPatches)
    return fitted.scorer


def smallest(queries: Array, bank: Array, count: int) -> tuple[Array, Array]:
    squared = queries @ bank.T
    squared *= -2
    squared += np.einsum("nd,nd->n", bank, bank)
    squared += np.einsum("nd,nd->n", queries, queries)[:, None]
    if count == 1:
        rows = squared.argmin(axis=1)[:, None]
    else:
        rows = np.argpartition(squared, count - 1, axis=1)[:, :count]
    return np.take_along_axis(squared, rows, axis=1), rows


def plain_subspace(_: FittedPatchDetector, patches: Array) -> Scorer:
    flat = patches.reshape(-1, patches.shape[-1]).astype(np.float64)
    mean, kept = leading(flat, 0.99)

    def score(tested: Array) -> Array:
        centred = tested.reshape(-1, len(mean)) - mean
        residual = centred - centred @ kept.T @ kept
        return np.sum(residual**2, axis=1).reshape(tested.shape[:3])

    return score


def leading(flat: Array, threshold: float) -> tuple[Array, Array]:
    mean = flat.mean(axis=0)
    _, lengths, axes = np.linalg.svd(flat - mean, full_matrices=False)
    explained = np.cumsum(lengths**2) / np.sum(lengths**2)
    return mean, axes[: np.flatnonzero(explained > threshold)[0] + 1]


def plain_dfm(_: FittedPatchDetector, patches: Array) -> Scorer:
    def pooled(own: Array) -> Array:
        rows, columns = own.shape[1] // 4, own.shape[2] // 4
        squares = own[:, : rows * 4, : columns * 4].reshape(len(own), rows, 4, columns, 4, -1)
        return squares.mean(axis=(2, 4), dtype=np.float64)

    flat = pooled(patches).reshape(len(patches), -1)
    mean, kept = leading(flat, 0.97)

    def score(tested: Array) -> Array:
        own = pooled(tested)
        centred = own.reshape(len(own), -1) - mean
        residual = (centred - centred @ kept.T @ kept).reshape(own.shape)
        return np.sum(residual**2, axis=-1)

    return score


PLAIN: dict[str, Callable[[FittedPatchDetector, Array], Scorer]] = {
    "padim": plain_padim,
    "patch_gaussian": plain_gaussian,
    "patchcore": plain_patchcore,
    "patch_whitened_knn": plain_patchcore,
    "patch_knn": plain_knn,
    "patch_subspace": plain_subspace,
    "dfm": plain_dfm,
}
OWN_BLOCKS = ("padim", "patchcore", "patch_whitened_knn", "dfm")


def features(assets: Path) -> tuple[Maps, Maps]:
    folder = assets / "images" / "toothbrush"
    good = sorted((folder / "train" / "good").glob("*.png"))
    tested = sorted((folder / "test").glob("*/*.png"))
    return resnet(assets, good), resnet(assets, tested)


def resnet(assets: Path, paths: list[Path]) -> Maps:
    import timm

    model = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3))
    weights = torch.load(assets / "weights" / "resnet18_layer3.pth", weights_only=True)
    model.load_state_dict(weights, strict=False)
    read: list[Any] = [cv2.imread(str(path)) for path in paths]
    pixels = np.stack([cv2.resize(own, (SIDE, SIDE)) for own in read])
    values = (pixels[..., ::-1] / 255 - MEAN) / DEVIATION
    with torch.inference_mode():
        maps = model.eval()(torch.from_numpy(values.transpose(0, 3, 1, 2)).float())
    return {block: own.numpy() for block, own in enumerate(maps, start=1)}


def in_batches(score: Callable[[Maps], Array], maps: Maps) -> Array:
    return np.concatenate([score(batch) for batch in BatchedMaps(maps=maps, batch_size=BATCH)])


def timed(task: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    done = task()
    return done, time.process_time() - started


def medians(pairs: list[Pair]) -> tuple[float, float, float]:
    """Return the median seconds of ours and of the plain way, and that of their ratios."""
    ours, plain = zip(*pairs, strict=True)
    return median(ours), median(plain), median(two / one for one, two in pairs)


if __name__ == "__main__":
    main()
