from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.features.extraction import extract, read_input
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder, Work
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime

BANK = FilterBank(input_size=64, octaves=2)


def start(
    paths: Sequence[str], batch_size: int = 4, runtime: TorchRuntime | OpenVinoRuntime | None = None
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    return extract(
        [partial(read_input, path, BANK.image_size()) for path in paths],
        Work(
            encoder=Encoder(
                backbone=BANK,
                runtime=runtime or TorchRuntime(),
                device="cpu",
                batch_size=batch_size,
            ),
            deepest=2,
        ),
    )


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Ten images of differing sizes, each brighter than the one before."""
    folder = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(0)
    for index in range(10):
        image = noise.integers(0, 20, (80 + index, 100, 3)) + 20 * index
        cv2.imwrite(str(folder / f"{index}.png"), image.astype(np.uint8))
    return [str(folder / f"{index}.png") for index in range(10)]


@pytest.mark.parametrize("runtime", [TorchRuntime(), OpenVinoRuntime()], ids=["torch", "openvino"])
def test_features_are_those_of_the_images_resized_bilinearly_in_order(
    paths: list[str], runtime: TorchRuntime | OpenVinoRuntime
) -> None:
    images = [cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB) for path in paths]
    resized = np.stack([cv2.resize(image, (64, 64)) for image in images])
    expected = TorchRuntime().compile(BANK.build(2), 64, "cpu")(resized)
    found = [np.concatenate(blocks) for blocks in zip(*start(paths, runtime=runtime), strict=True)]
    for block, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(block, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 16])
def test_any_batch_size_gives_the_same_features(paths: list[str], batch_size: int) -> None:
    batches = list(start(paths, batch_size))
    assert [len(batch[0]) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    whole = next(start(paths, 10))
    for block, parts in enumerate(zip(*batches, strict=True)):
        np.testing.assert_allclose(np.concatenate(parts), whole[block], rtol=1e-6, atol=1e-7)


def test_no_image_gives_no_batch() -> None:
    assert list(start([])) == []


def test_an_unreadable_image_is_named_after_the_batches_before_it(
    paths: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(paths[0]).read_bytes()[:200])
    batches = start([*paths[:4], str(broken), *paths[4:]], batch_size=2)
    with pytest.raises(UserError, match=r"broken\.png"):
        list(batches)


def test_an_abandoned_extraction_leaves_no_thread(paths: list[str]) -> None:
    before = threading.active_count()
    batches = start(paths * 20, batch_size=2)
    next(batches)
    assert threading.active_count() > before
    del batches
    assert threading.active_count() == before


def test_images_are_read_little_further_than_they_are_asked_for(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: str) -> NDArray[np.uint8]:
        read.append(path)
        return np.zeros((64, 64, 3), np.uint8)

    monkeypatch.setattr("gad_bench.features.extraction.read_image", counted)
    batches = start(paths * 100, batch_size=2)
    for _ in range(5):
        next(batches)
    batches.close()
    assert len(read) <= 5 * 2 + 8


def test_the_progress_bar_is_quiet_when_nobody_watches(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    list(start(paths))
    assert stream.getvalue() == ""
