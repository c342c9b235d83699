"""Decoded images that are kept: equal to what is decoded, checked, shared by content."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest

from gad_bench.config import build, compose_config
from gad_bench.data.fingerprint import file_digest
from gad_bench.features.blocks import Blocks
from gad_bench.features.decoded import FOLDER, DecodedImages, is_intact
from gad_bench.features.extraction import read_input
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder
from gad_bench.features.runtime import TorchRuntime
from gad_bench.features.source import FeatureSource
from gad_bench.features.upkeep import kept_images

SIZE = 64


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8))
    return str(path)


@pytest.fixture
def digest(image: str) -> str:
    return file_digest(image)


@pytest.fixture
def images(tmp_path: Path) -> DecodedImages:
    return DecodedImages(tmp_path / "cache")


def kept_file(images: DecodedImages, digest: str) -> Path:
    return images.folder(SIZE) / digest[:2] / digest


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode_image(_content: bytes, path: str) -> None:
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr("gad_bench.data.images.decode_image", decode_image)


def test_an_image_is_decoded_once_and_is_the_same_afterwards(
    image: str, digest: str, images: DecodedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = images.read(image, SIZE, digest)
    np.testing.assert_array_equal(first, read_input(image, SIZE))
    forbid_decoding(monkeypatch)
    np.testing.assert_array_equal(images.read(image, SIZE, digest), first)


def test_sizes_are_kept_apart(image: str, digest: str, images: DecodedImages) -> None:
    images.read(image, SIZE, digest)
    np.testing.assert_array_equal(images.read(image, 32, digest), read_input(image, 32))


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_a_flipped_bit_is_told_and_the_image_decoded_again(
    place: int, image: str, digest: str, images: DecodedImages, caplog: pytest.LogCaptureFixture
) -> None:
    images.read(image, SIZE, digest)
    content = bytearray(kept_file(images, digest).read_bytes())
    content[place] ^= 1
    kept_file(images, digest).write_bytes(content)
    assert not is_intact(kept_file(images, digest))
    np.testing.assert_array_equal(images.read(image, SIZE, digest), read_input(image, SIZE))
    assert f"{kept_file(images, digest)} is damaged" in caplog.text
    assert is_intact(kept_file(images, digest))


def test_an_image_in_anothers_place_is_told_and_decoded_again(
    image: str, digest: str, images: DecodedImages, caplog: pytest.LogCaptureFixture
) -> None:
    other = image.replace("image.png", "other.png")
    cv2.imwrite(other, 255 - cv2.imread(image))
    images.read(image, SIZE, digest)
    images.read(other, SIZE, file_digest(other))
    shutil.copyfile(kept_file(images, file_digest(other)), kept_file(images, digest))
    assert not is_intact(kept_file(images, digest))
    np.testing.assert_array_equal(images.read(image, SIZE, digest), read_input(image, SIZE))
    assert f"{kept_file(images, digest)} is damaged" in caplog.text
    assert is_intact(kept_file(images, digest))


@pytest.mark.parametrize(
    "way", ["opencv-area-1-64", "opencv-bilinear-2-64", "opencv-bilinear-1-32"]
)
def test_nor_is_one_served_that_was_read_otherwise(
    way: str, image: str, digest: str, images: DecodedImages
) -> None:
    images.read(image, SIZE, digest)
    moved = kept_file(images, digest).parents[2] / way / digest[:2] / digest
    moved.parent.mkdir(parents=True)
    kept_file(images, digest).rename(moved)
    assert not is_intact(moved)


@pytest.mark.parametrize("length", [0, 10, 32, 1000])
def test_a_torn_file_is_decoded_again(
    length: int, image: str, digest: str, images: DecodedImages
) -> None:
    images.read(image, SIZE, digest)
    os.truncate(kept_file(images, digest), length)
    np.testing.assert_array_equal(images.read(image, SIZE, digest), read_input(image, SIZE))
    assert is_intact(kept_file(images, digest))


def test_a_pipe_in_its_place_is_not_waited_for(
    image: str, digest: str, images: DecodedImages
) -> None:
    images.read(image, SIZE, digest)
    kept_file(images, digest).unlink()
    os.mkfifo(kept_file(images, digest))
    np.testing.assert_array_equal(images.read(image, SIZE, digest), read_input(image, SIZE))
    assert is_intact(kept_file(images, digest))


def test_without_a_place_to_keep_them_images_are_decoded_with_one_word(
    image: str, digest: str, images: DecodedImages, caplog: pytest.LogCaptureFixture
) -> None:
    images.cache_dir.mkdir()
    (images.cache_dir / FOLDER).write_text("in the way")
    for _ in range(2):
        np.testing.assert_array_equal(images.read(image, SIZE, digest), read_input(image, SIZE))
    assert len(caplog.messages) == 1
    assert "cannot be written" in caplog.messages[0]


def test_an_image_that_is_no_longer_what_its_digest_says_is_not_kept(
    image: str, digest: str, images: DecodedImages
) -> None:
    cv2.imwrite(image, 255 - cv2.imread(image))
    images.read(image, SIZE, digest)
    assert not kept_file(images, digest).exists()


def test_a_folder_that_is_pruned_meanwhile_is_no_error(
    image: str, digest: str, images: DecodedImages, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Event()

    def prune() -> None:
        while not stop.is_set():
            for kept in kept_images(images.cache_dir):
                kept.remove()

    with ThreadPoolExecutor(1) as beside:
        pruning = beside.submit(prune)
        for size in range(8, 208):
            np.testing.assert_array_equal(images.read(image, size, digest).shape, (size, size, 3))
        stop.set()
        pruning.result()
    assert not caplog.messages


class TestFeatureSource:
    @pytest.fixture
    def source(self, tmp_path: Path) -> FeatureSource:
        return FeatureSource(
            encoder=Encoder(
                backbone=FilterBank(input_size=SIZE, octaves=2),
                runtime=TorchRuntime(),
                device="cpu",
                batch_size=4,
            ),
            blocks=Blocks(),
            cache_dir=str(tmp_path / "cache"),
            about={},
            keep_images=True,
        )

    def test_a_second_backbone_decodes_nothing(
        self, image: str, source: FeatureSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source.features([image])
        forbid_decoding(monkeypatch)
        other_bank = FilterBank(input_size=SIZE, octaves=2, orientations=3)
        other = replace(source, encoder=replace(source.encoder, backbone=other_bank))
        assert not other.features([image]).cache_hit

    def test_nor_does_augmentation_decode_what_is_kept(
        self, image: str, source: FeatureSource, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source.features([image])
        forbid_decoding(monkeypatch)
        config = compose_config(["experiment=demo", "augmentation=paper", "augmentation.passes=3"])
        paper, wood = build(config.augmentation), build(config.dataset).facts("wood")
        assert not source.augmented([image], paper, wood).cache_hit

    def test_features_are_those_of_images_that_are_not_kept(
        self, image: str, source: FeatureSource, tmp_path: Path
    ) -> None:
        plain = replace(source, keep_images=False, cache_dir=str(tmp_path / "other"))
        expected = plain.features([image]).blocks
        assert not (tmp_path / "other" / FOLDER).exists()
        for _ in range(2):
            blocks = (
                replace(source, encoder=replace(source.encoder, runtime=TorchRuntime()))
                .features([image])
                .blocks
            )
            for block, values in blocks.items():
                np.testing.assert_array_equal(values, expected[block])

    def test_an_image_that_changed_is_decoded_again(
        self, image: str, source: FeatureSource
    ) -> None:
        before = source.features([image]).blocks[0]
        cv2.imwrite(image, 255 - cv2.imread(image))
        assert not np.array_equal(source.features([image]).blocks[0], before)
