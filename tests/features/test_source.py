"""Features of real image files: what is read again when they change, and of augmented copies."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from category_facts import FREE
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.data.augmentation import PaperAugmentation
from gad_bench.data.fingerprint import fingerprint
from gad_bench.features import extraction
from gad_bench.features.blocks import Blocks
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder
from gad_bench.features.runtime import TorchRuntime
from gad_bench.features.source import FeatureSource, _read_once

COUNT = 10
BANK = FilterBank(input_size=64, octaves=2)
PAPER = PaperAugmentation(passes=20, seed=0, probability=0.5)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    noise = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(COUNT):
        image = cv2.resize(noise.random((6, 6, 3), np.float32), (70, 60))
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image * 255)
    return [str(tmp_path / "images" / f"{number}.png") for number in range(COUNT)]


@pytest.fixture
def source(tmp_path: Path) -> FeatureSource:
    return FeatureSource(
        encoder=Encoder(backbone=BANK, runtime=TorchRuntime(), device="cpu", batch_size=4),
        blocks=Blocks(),
        cache_dir=str(tmp_path / "cache"),
        about={},
    )


def features_of(images: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """What the backbone gives, without store or extraction."""
    return TorchRuntime().compile(BANK.build(2), 64, "cpu")(np.stack(images))


def assert_features(found: dict[int, NDArray[np.float32]], images: list[NDArray[np.uint8]]) -> None:
    for block, expected in enumerate(features_of(images)):
        np.testing.assert_allclose(found[block], expected, rtol=1e-5, atol=1e-6)


def squares(paths: list[str]) -> list[NDArray[np.uint8]]:
    return [extraction.read_input(path, 64) for path in paths]


class TestPlain:
    def test_features_are_those_of_the_images_and_then_come_from_the_store(
        self, source: FeatureSource, paths: list[str], read: Counter[str]
    ) -> None:
        first, again = source.features(paths), source.features(paths)
        assert (first.cache_hit, again.cache_hit) == (False, True)
        assert set(read.values()) == {1}
        assert_features(first.blocks, squares(paths))
        assert_features(again.blocks, squares(paths))

    def test_a_changed_image_is_never_served_from_old_features(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        source.features(paths)
        size, time = Path(paths[3]).stat().st_size, Path(paths[3]).stat().st_mtime_ns
        changed = cv2.imencode(".png", np.zeros((60, 70, 3), np.uint8))[1].tobytes()
        Path(paths[3]).write_bytes(changed.ljust(size, b"\0"))
        os.utime(paths[3], ns=(time, time))
        found = source.features(paths)
        assert not found.cache_hit
        assert_features(found.blocks, squares(paths))

    def test_added_removed_and_reordered_images_are_their_own_features(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        for some in (paths[:8], paths, paths[2:], paths[::-1]):
            found = source.features(some)
            assert not found.cache_hit
            assert_features(found.blocks, squares(some))

    def test_a_touched_or_renamed_image_is_still_the_same(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        source.features(paths)
        os.utime(paths[0])
        renamed = Path(paths[1]).rename(Path(paths[1]).with_name("1 renamed.png"))
        assert source.features([paths[0], str(renamed), *paths[2:]]).cache_hit

    def test_an_image_that_changes_while_it_is_extracted_is_refused(
        self, source: FeatureSource, paths: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else the new image's features would be stored as the old one's."""
        before = Path(paths[5]).read_bytes()
        read_image = extraction.read_image

        def changed_first(path: str) -> NDArray[np.uint8]:
            if path == paths[5]:
                Path(path).write_bytes(Path(paths[6]).read_bytes())
            return read_image(path)

        monkeypatch.setattr(extraction, "read_image", changed_first)
        with pytest.raises(UserError, match=r"5\.png changed while it was being read: run again"):
            source.features(paths)
        monkeypatch.undo()
        Path(paths[5]).write_bytes(before)
        assert_features(source.features(paths).blocks, squares(paths))

    def test_images_whose_fingerprint_is_handed_on_are_not_looked_at_again(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        taken = source.fingerprint(paths)
        stored = source.features(taken)
        for path in paths:
            Path(path).unlink()
        assert source.features(taken).cache_hit
        assert source.features(taken).path == stored.path

    def test_an_image_that_changed_since_its_fingerprint_was_taken_is_refused(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        taken = source.fingerprint(paths)
        Path(paths[5]).write_bytes(Path(paths[6]).read_bytes())
        with pytest.raises(UserError, match=r"5\.png changed while it was being read: run again"):
            source.features(taken)

    def test_a_home_folder_is_found(
        self, source: FeatureSource, paths: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = Path(source.cache_dir).parent
        monkeypatch.setenv("HOME", str(home))
        found = replace(source, cache_dir="~/mine").features(paths)
        assert found.path.is_relative_to(home / "mine")


class TestAugmented:
    def test_features_are_those_of_every_pass_over_each_image(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        found = source.augmented(paths, PAPER, FREE).blocks
        digests = fingerprint(paths, Path(source.cache_dir)).digests
        images = [
            PAPER.augment(square, digest, number, FREE)
            for square, digest in zip(squares(paths), digests, strict=True)
            for number in range(PAPER.passes)
        ]
        assert len(found[0]) == COUNT * PAPER.passes
        assert_features(found, images)

    def test_some_images_have_the_vectors_that_they_have_among_all(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        everything = source.augmented(paths, PAPER, FREE).blocks[1]
        some = source.augmented(paths[4:6], PAPER, FREE).blocks[1]
        np.testing.assert_allclose(some, everything[4 * 20 : 6 * 20], rtol=1e-5)

    @pytest.mark.parametrize("workers", [1, 8])
    def test_any_number_of_workers_gives_the_same_vectors(
        self,
        source: FeatureSource,
        paths: list[str],
        workers: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        here = source.augmented(paths, PAPER, FREE).blocks
        monkeypatch.setattr(os, "cpu_count", lambda: workers)
        elsewhere = replace(source, cache_dir=f"{source.cache_dir} {workers}")
        found = elsewhere.augmented(paths, PAPER, FREE).blocks
        for block, values in here.items():
            np.testing.assert_array_equal(found[block], values)

    def test_it_goes_on_where_it_stopped(
        self,
        source: FeatureSource,
        paths: list[str],
        read: Counter[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        whole = replace(source, cache_dir=f"{source.cache_dir} of another")
        expected = whole.augmented(paths, PAPER, FREE).blocks
        augment = PaperAugmentation.augment

        def fail_late(
            self: PaperAugmentation, image: NDArray, digest: str, *rest: object
        ) -> object:
            if digest == digests[8]:
                raise UserError("interrupted")
            return augment(self, image, digest, *rest)  # type: ignore[arg-type]

        digests = fingerprint(paths, Path(source.cache_dir)).digests
        monkeypatch.setattr(PaperAugmentation, "augment", fail_late)
        with pytest.raises(UserError, match="interrupted"):
            source.augmented(paths, PAPER, FREE)
        monkeypatch.setattr(PaperAugmentation, "augment", augment)
        _read_once.cache_clear()
        read.clear()
        found = source.augmented(paths, PAPER, FREE).blocks
        assert set(read) == {"6.png", "7.png", "8.png", "9.png"}  # two shards of 64 were finished
        for block, values in expected.items():
            np.testing.assert_array_equal(found[block], values)

    def test_an_image_is_decoded_for_many_passes_at_once(
        self, source: FeatureSource, paths: list[str], read: Counter[str]
    ) -> None:
        source.augmented(paths, PAPER, FREE)
        readers = os.cpu_count() or 1
        assert max(read.values()) <= readers

    def test_a_changed_image_is_not_taken_from_memory(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        source.augmented(paths[-1:], PAPER, FREE)
        cv2.imwrite(paths[-1], np.zeros((60, 70, 3), np.uint8))
        found = source.augmented(paths[-1:], replace(PAPER, probability=0.0), FREE).blocks
        assert_features(found, squares(paths[-1:]) * PAPER.passes)

    def test_limits_of_another_category_make_other_vectors(
        self, source: FeatureSource, paths: list[str]
    ) -> None:
        source.augmented(paths, PAPER, FREE)
        assert not source.augmented(paths, PAPER, replace(FREE, quarter_turns=False)).cache_hit
        assert source.augmented(paths, PAPER, replace(FREE, kind="texture")).cache_hit
