"""PyTorch on a CUDA GPU gives the features of the CPU, and survives short memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gad_bench.features.extraction import extract, read_input
from gad_bench.features.interface import Encoder, Work
from gad_bench.features.runtime import TorchRuntime
from gad_bench.features.timm_backbone import TimmBackbone

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")

SIDE = 64
BACKBONE = TimmBackbone(
    name="tf_efficientnet_b0", pretrained=False, input_size=SIDE, taps=["bn1", "bn2"]
)
Blocks = list[NDArray[np.float32]]


def run_on(device: str, pixels: NDArray[np.uint8], runtime: TorchRuntime) -> Blocks:
    return runtime.compile(BACKBONE.build(1), SIDE, device)(pixels)


def relative_difference(one: Blocks, two: Blocks) -> float:
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(one, two, strict=True))


@pytest.fixture
def exact(pixels: NDArray[np.uint8]) -> Blocks:
    return run_on("cpu", pixels, TorchRuntime())


def test_float32_features_are_those_of_the_cpu(pixels: NDArray[np.uint8], exact: Blocks) -> None:
    assert relative_difference(run_on("cuda", pixels, TorchRuntime()), exact) < 1e-4


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_lower_precision_is_used_where_it_is_asked_for(
    precision: str, pixels: NDArray[np.uint8], exact: Blocks
) -> None:
    rounded = run_on("cuda", pixels, TorchRuntime(precision=precision))
    assert all(block.dtype == np.float32 for block in rounded)
    assert 1e-5 < relative_difference(rounded, exact) < 0.1


def test_tf32_rounds_where_it_is_asked_for(pixels: NDArray[np.uint8], exact: Blocks) -> None:
    rounded = run_on("cuda", pixels, TorchRuntime(tf32=True))
    assert 1e-5 < relative_difference(rounded, exact) < 0.1
    assert relative_difference(run_on("cuda", pixels, TorchRuntime()), exact) < 1e-4


def test_several_callers_at_once_get_their_own_features(pixels: NDArray[np.uint8]) -> None:
    runtimes = {tf32: TorchRuntime(tf32=tf32) for tf32 in (True, False)}
    models = {tf32: own.compile(BACKBONE.build(1), SIDE, "cuda") for tf32, own in runtimes.items()}
    calls = [(bool(call % 3), pixels[call % 2 :]) for call in range(60)]
    with ThreadPoolExecutor(6) as callers:
        together = list(callers.map(lambda call: models[call[0]](call[1]), calls))
    for found, (tf32, batch) in zip(together, calls, strict=True):
        assert relative_difference(found, models[tf32](batch)) == 0


def test_images_go_from_files_to_features(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(len(pixels))]
    for path, image in zip(paths, pixels, strict=True):
        cv2.imwrite(path, image[..., ::-1])
    work = Work(
        encoder=Encoder(backbone=BACKBONE, runtime=TorchRuntime(), device="cuda", batch_size=2),
        deepest=1,
    )
    batches = extract([partial(read_input, path, SIDE) for path in paths], work)
    joined = [np.concatenate(blocks) for blocks in zip(*batches, strict=True)]
    assert relative_difference(joined, run_on("cpu", pixels, TorchRuntime())) < 1e-4


@pytest.fixture
def short_memory() -> Iterator[None]:
    """Leave this process a hundredth of the GPU's memory."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.01)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.usefixtures("short_memory")
def test_short_memory_halves_the_batch_with_a_word(
    pixels: NDArray[np.uint8], exact: Blocks, caplog: pytest.LogCaptureFixture
) -> None:
    images = torch.cuda.get_device_properties(0).total_memory // 100 // (SIDE * SIDE * 32)
    repeats = images // len(pixels) + 1
    with caplog.at_level(logging.WARNING):
        blocks = run_on("cuda", np.tile(pixels, (repeats, 1, 1, 1)), TorchRuntime())
    assert "out of memory: going on with batches of" in caplog.text
    assert relative_difference([block[: len(pixels)] for block in blocks], exact) < 1e-4
