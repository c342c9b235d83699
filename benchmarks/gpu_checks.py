"""Whether a GPU gives what the CPU gives: part of benchmarks/gpu.py."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from gpu_networks import NETWORKS, QUICK, Row, Settings, smooth_images, synchronise
from numpy.typing import NDArray

from gad_bench.data.fingerprint import fingerprint
from gad_bench.features.decoded import DecodedImages
from gad_bench.features.extraction import extract, read_input
from gad_bench.features.interface import Encoder, Features, Pixels, Work, height_and_width
from gad_bench.features.local import LocalBackbone, LocalSource
from gad_bench.features.runtime import TorchRuntime
from gad_bench.gaussian.covariance import LedoitWolf
from gad_bench.gaussian.normalisation import NoNormalisation
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.patches import BatchedMaps, Maps, PatchDetector
from gad_bench.patches.image_score import Maximum
from gad_bench.patches.memory_bank import PatchCore, PatchNeighbours
from gad_bench.patches.padim import PaDiM
from gad_bench.patches.position_gaussian import PositionGaussian
from gad_bench.patches.shared_gaussian import SharedGaussian
from gad_bench.patches.subspace import PatchSubspace

NAMES = tuple(NETWORKS)
FEATURES_DIFFER, SCORES_DIFFER = 1e-4, 1e-3
"""How far the GPU's may be from the CPU's, of the largest."""
LOWER_DIFFERS = 0.2
"""Likewise at TF32 and bfloat16 with random weights: that they are no nonsense."""
TRAIN, TEST = 12, 6
Array = NDArray[np.floating]


def relative(one: Sequence[Array], two: Sequence[Array]) -> float:
    """Return the largest difference of arrays, each relative to the largest value of the second."""
    pairs = zip(one, two, strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def features(settings: Settings, name: str) -> Iterator[Row]:
    """Pooled features at float32 to 1e-4, and how far TF32 and bfloat16 are."""
    if settings.quick and name not in QUICK:
        return
    network = NETWORKS[name]
    backbone, size = network.backbone(settings), network.size_for(settings)
    pixels, deepest = smooth_images(4, size), backbone.block_count() - 1
    expected = TorchRuntime().compile(backbone.build(deepest), size, "cpu")(pixels)
    weights = "trained" if network.file(settings) else "random"
    for precision, runtime, limit in (
        ("float32", TorchRuntime(), FEATURES_DIFFER),
        ("TF32", TorchRuntime(tf32=True), LOWER_DIFFERS),
        ("bfloat16", TorchRuntime(precision="bfloat16"), LOWER_DIFFERS),
    ):
        found = runtime.compile(backbone.build(deepest), size, settings.device)(pixels)
        differ = relative(found, expected)
        yield {
            "network": name,
            "weights": weights,
            "precision": precision,
            "largest relative difference": differ,
            "allowed": limit,
            "holds": differ <= limit,
        }


def short_memory(settings: Settings) -> Iterator[Row]:
    """A batch that does not fit is halved, with a word, and its features are as they were."""
    if not settings.on_gpu:
        yield {"what": "short memory: a CPU takes single images, there is nothing to halve"}
        return
    network = NETWORKS["ResNet-18"]
    backbone, size = network.backbone(settings), network.size_for(settings)
    pixels = smooth_images(512, size)
    model = TorchRuntime().compile(backbone.build(4), size, settings.device)
    model(pixels[:32])
    expected = [np.tile(block, (16, 1)) for block in model(pixels[:32])]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    model(pixels[:64])
    limit = 1.3 * torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    words = _Words()
    logging.getLogger("gad_bench").addHandler(words)
    torch.cuda.set_per_process_memory_fraction(
        limit / torch.cuda.get_device_properties(settings.device).total_memory
    )
    try:
        found = model(pixels)
        synchronise(settings)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    differ = relative(found, expected)
    yield {
        "what": f"a batch of 512 in {limit / 2**20:.0f} MiB: {'; '.join(words.told) or 'no word'}",
        "largest relative difference": differ,
        "holds": bool(words.told) and differ <= FEATURES_DIFFER,
    }


class _Words(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


def kept_images(settings: Settings) -> Iterator[Row]:
    """Features of kept images are those of the files, to the last bit."""
    paths = photographs(settings, TEST)
    encoder = resnet(settings, settings.device)
    work = Work(encoder=encoder, deepest=4)
    size = encoder.backbone.image_size()
    kept = DecodedImages(settings.folder / "kept")
    digests = fingerprint(paths, settings.folder / "kept").digests
    pairs = list(zip(paths, digests, strict=True))
    calls = {
        "files": [partial(read_input, path, size) for path in paths],
        "kept anew": [partial(kept.read, path, size, digest) for path, digest in pairs],
        "kept": [partial(kept.read, path, size, digest) for path, digest in pairs],
    }
    blocks = {what: _joined(list(extract(images, work))) for what, images in calls.items()}
    for what in ("kept anew", "kept"):
        differ = relative(blocks[what], blocks["files"])
        yield {"what": what, "largest relative difference": differ, "holds": differ == 0}


def heat_maps(settings: Settings) -> Iterator[Row]:
    """PaDiM's heat maps by the GPU's local features are those by the CPU's."""
    paths = photographs(settings, TRAIN + TEST)
    sources = {
        device: LocalSource(encoder=resnet(settings, device), blocks=[1, 2, 3])
        for device in ("cpu", settings.device)
    }
    padim = PaDiM(
        blocks=[1, 2, 3],
        grid=8 if settings.quick else 28,
        sigma=4.0,
        dimensions=24,
        seed=0,
        normalisation=NoNormalisation(),
        covariance=LedoitWolf(),
    )
    fitted = padim.fit(sources["cpu"], paths[:TRAIN])
    expected, found = (
        fitted.heat_maps(sources[device], paths[TRAIN:]).grids
        for device in ("cpu", settings.device)
    )
    yield _compared("PaDiM's heat maps", found, expected)


def patch_detectors(settings: Settings) -> Iterator[Row]:
    """Detectors that were fitted on the CPU's maps score the GPU's as they score the CPU's."""
    size = NETWORKS["ResNet-18"].size_for(settings)
    pixels = np.stack([read_input(path, size) for path in photographs(settings, TRAIN + TEST)])
    expected = maps_on(settings, "cpu", pixels)
    found = maps_on(settings, settings.device, pixels)
    yield _compared("maps", *(np.concatenate([m.ravel() for m in x.values()])
                              for x in (found, expected)))  # fmt: skip
    train = BatchedMaps(maps={block: maps[:TRAIN] for block, maps in expected.items()})
    for name, detector in detectors().items():
        fitted = detector.fit(train)
        scores = [
            fitted.patch_scores({block: own[TRAIN:] for block, own in maps.items()})
            for maps in (found, expected)
        ]
        yield _compared(name, *scores)


def detectors() -> Mapping[str, PatchDetector]:
    joined: dict[str, Any] = {
        "neighbourhood": 3,
        "grid": None,
        "averaged": False,
        "normalisation": NoNormalisation(),
        "image_score": Maximum(smoothing=0.0),
        "memory_limit": 8.0,
    }
    return {
        "patchcore": PatchCore(
            **joined, blocks=[2, 3], share=0.1, projection=128, neighbours=1, reweighting=9, seed=0
        ),
        "padim": PositionGaussian(
            **joined, blocks=[1, 2, 3], dimensions=50, seed=0, regularisation=0.01
        ),
        "patch_gaussian": SharedGaussian(
            **joined, blocks=[2, 3], reduction=NoReduction(), covariance=LedoitWolf()
        ),
        "patch_knn": PatchNeighbours(**joined, blocks=[2, 3], neighbours=1, metric="cosine"),
        "patch_subspace": PatchSubspace(**joined, blocks=[2, 3], threshold=0.99),
    }


def maps_on(settings: Settings, device: str, pixels: Pixels) -> Maps:
    backbone = NETWORKS["ResNet-18"].backbone(settings)
    grid = height_and_width(backbone.image_size())[0] // 4
    local = LocalBackbone(backbone=backbone, blocks=[1, 2, 3], grid=grid)
    model = TorchRuntime().compile(local.build(3), backbone.image_size(), device)
    return dict(zip((1, 2, 3), model(pixels), strict=True))


def own_tests(settings: Settings) -> Iterator[Row]:  # noqa: ARG001 - as every measurement
    """The project's own tests of the GPU."""
    if find_spec("pytest") is None:
        yield {"what": "pytest is not here"}
        return
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "pytest", "-q", "tests/features/test_gpu.py"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    lines = [line for line in told.stdout.splitlines() if line]
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            yield {"what": line[:300], "holds": False}
    what = lines[-1] if lines else told.stderr.strip()[-300:]
    yield {"what": what.strip("= "), "holds": told.returncode == 0}


def resnet(settings: Settings, device: str) -> Encoder:
    backbone = NETWORKS["ResNet-18"].backbone(settings)
    return Encoder(backbone=backbone, runtime=TorchRuntime(), device=device, batch_size=4)


def photographs(settings: Settings, count: int) -> list[str]:
    """Write smooth pictures with some noise as PNG files and return their paths."""
    noise = np.random.default_rng(0)
    paths = []
    for number, image in enumerate(smooth_images(count, 256)):
        pixels = image + noise.normal(0, 12, image.shape)
        path = settings.folder / f"photograph-{number:03}.png"
        cv2.imwrite(str(path), pixels.clip(0, 255).astype(np.uint8))
        paths.append(str(path))
    return paths


def _joined(batches: Sequence[tuple[Features, ...]]) -> list[Features]:
    return [np.concatenate(blocks) for blocks in zip(*batches, strict=True)]


def _compared(what: str, found: Array, expected: Array) -> Row:
    differ = relative([found], [expected])
    return {
        "what": what,
        "largest relative difference": differ,
        "allowed": SCORES_DIFFER,
        "holds": differ <= SCORES_DIFFER,
    }
