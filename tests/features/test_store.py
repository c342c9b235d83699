"""The catalogue of what the store does; killed and competing processes: test_store_processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock  # noqa: F401 - what the store imports late; nobody may not read the packages
import numpy as np
import pytest
import safetensors.numpy  # noqa: F401

from gad_bench.base.errors import UserError
from gad_bench.features import store
from gad_bench.features.interface import Features
from gad_bench.features.shards import LAYOUT
from gad_bench.features.store import FeatureStore, Recipe, StoredFeatures

COUNT = 150  # three shards: 64, 64 and 22
WIDTH = 100
NOBODY = 65534
IMAGES = [f"image {number}" for number in range(COUNT)]


class Extractor:
    """Makes features that tell their image and block, and remembers what was asked of it."""

    def __init__(self, images: Sequence[str] = IMAGES, fail_at: int | None = None) -> None:
        self.images = images
        self.fail_at = fail_at
        self.rows: list[int] = []
        self.deepest: int | None = None

    def __call__(self, rows: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:
        self.deepest = deepest
        for start in range(0, len(rows), 50):
            batch = rows[start : start + 50]
            if self.fail_at in batch:
                raise UserError(f"image {self.fail_at} cannot be read")
            self.rows += batch
            yield tuple(
                features_of([self.images[row] for row in batch], block)
                for block in range(deepest + 1)
            )


def features_of(images: Sequence[str], block: int) -> Features:
    numbers = [float(image.split()[1]) + block / 8 for image in images]
    return np.repeat(np.array(numbers, np.float32)[:, None], WIDTH + block, axis=1)


def get(
    folder: Path,
    blocks: Sequence[int] = (0, 2),
    images: Sequence[str] = IMAGES,
    extract: Extractor | None = None,
    facts: dict[str, str] | None = None,
) -> tuple[StoredFeatures, Extractor]:
    """Get features from the store and check every number of them."""
    extract = extract or Extractor(images)
    stored = FeatureStore(folder).get(
        Recipe(facts or {}, images), blocks, {"category": "bottle"}, extract
    )
    assert list(stored.blocks) == list(blocks)
    for block in blocks:
        np.testing.assert_array_equal(stored.blocks[block], features_of(images, block))
    assert stored.cache_hit == (not extract.rows)
    assert (stored.seconds_extract > 0) == bool(extract.rows)
    return stored, extract


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store that holds the blocks 0..2."""
    get(tmp_path)
    return tmp_path


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{LAYOUT}/*/*/shard-*"))


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere: be nobody meanwhile."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


class TestHit:
    def test_tells_what_the_extraction_came_to(self, tmp_path: Path) -> None:
        first, _ = get(tmp_path)
        again, _ = get(tmp_path)
        assert again.seconds_extract == 0
        assert again.images_per_second == first.images_per_second
        assert 0 < first.seconds_extract * (first.images_per_second or 0) <= len(IMAGES) + 1

    def test_the_second_time_nothing_is_extracted(self, folder: Path) -> None:
        assert get(folder)[1].rows == []

    def test_other_blocks_of_the_same_depth_or_less_are_served(self, folder: Path) -> None:
        for blocks in ([0], [1], [2], [0, 1, 2]):
            assert get(folder, blocks)[1].rows == []

    def test_deeper_blocks_are_extracted_and_then_serve_all(self, folder: Path) -> None:
        assert get(folder, [4])[1].rows == list(range(COUNT))
        assert get(folder, [3])[1].rows == []

    def test_blocks_beyond_the_deepest_wanted_are_not_extracted(self, tmp_path: Path) -> None:
        assert get(tmp_path, [1])[1].deepest == 1

    def test_the_path_and_the_digest_of_the_images_are_told(self, folder: Path) -> None:
        stored, _ = get(folder)
        assert shards(folder)[0].parent == stored.path
        assert stored.images_digest == Recipe({"other": 1}, IMAGES).images_digest

    def test_a_read_only_store_serves(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_read_only(folder, monkeypatch)
        with as_nobody():
            assert get(Path("store"))[1].rows == []

    def test_more_images_make_more_shards_of_a_bounded_number(self) -> None:
        assert len(Recipe({}, IMAGES).shards) == 3
        assert len(Recipe({}, IMAGES, passes=100).shards) == 235
        assert len(Recipe({}, ["image"] * 10**6).shards) <= 1024


class TestLargeBlocks:
    """They are mapped from a file without a name."""

    @pytest.fixture(autouse=True)
    def _everything_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "LARGE", 0)

    def test_they_are_the_same_and_leave_no_file(self, folder: Path) -> None:
        before = sorted(folder.rglob("*"))
        stored, _ = get(folder)
        assert all(is_mapped(block) for block in stored.blocks.values())
        assert sorted(folder.rglob("*")) == before

    def test_small_ones_stay_in_memory(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "LARGE", 4 * COUNT * (WIDTH + 1))
        stored, _ = get(folder)
        assert [is_mapped(block) for block in stored.blocks.values()] == [False, True]

    def test_they_stay_in_memory_where_the_store_is_read_only(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_read_only(folder, monkeypatch)
        with as_nobody():
            assert not is_mapped(get(Path("store"))[0].blocks[0])

    def test_they_stay_in_memory_where_the_disk_has_no_room(self, tmp_path: Path) -> None:
        if not mount_small_disk(tmp_path, "240k"):
            pytest.skip("this user cannot mount a small disk")
        try:
            assert not is_mapped(get(tmp_path)[0].blocks[0])
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)


class TestMiss:
    @pytest.mark.parametrize(
        "images",
        [
            [*IMAGES[:-1], "image 999"],
            [*IMAGES, "image 999"],
            IMAGES[:-1],
            [IMAGES[1], IMAGES[0], *IMAGES[2:]],
        ],
        ids=["changed", "added", "removed", "reordered"],
    )
    def test_other_images_are_never_served_from_old_features(
        self, folder: Path, images: list[str]
    ) -> None:
        assert get(folder, images=images)[1].rows == list(range(len(images)))

    def test_another_fact_is_another_entry(self, folder: Path) -> None:
        assert len(get(folder, facts={"precision": "bfloat16"})[1].rows) == COUNT

    def test_other_passes_are_another_entry(self) -> None:
        assert Recipe({}, IMAGES, passes=2).key != Recipe({}, IMAGES).key

    def test_the_order_of_facts_does_not_matter(self) -> None:
        assert Recipe({"a": 1, "b": 2}, IMAGES).key == Recipe({"b": 2, "a": 1}, IMAGES).key

    def test_the_key_is_the_digest_of_the_recipe_that_lies_in_the_entry(self, folder: Path) -> None:
        content = {"facts": {}, "images": IMAGES, "passes": 1}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        (recipe,) = folder.glob(f"{LAYOUT}/*/recipe.json")
        assert recipe.read_text() == text
        assert recipe.parent.name == hashlib.sha256(text.encode()).hexdigest()

    def test_facts_that_are_no_numbers_are_refused(self) -> None:
        with pytest.raises(ValueError, match="JSON"):
            _ = Recipe({"mean": float("nan")}, IMAGES).key


class TestError:
    def test_an_error_is_not_stored_and_what_was_finished_before_is(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="image 120 cannot be read"):
            get(tmp_path, extract=Extractor(fail_at=120))
        assert len(shards(tmp_path)) == 1
        assert get(tmp_path)[1].rows == list(range(64, COUNT))

    def test_the_extraction_is_closed_when_a_shard_cannot_be_written(self, tmp_path: Path) -> None:
        closed = []

        def extract(rows: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:
            shutil.rmtree(tmp_path / LAYOUT)
            (tmp_path / LAYOUT).write_text("in the way")
            try:
                yield from Extractor()(rows, deepest)
            finally:
                closed.append(True)

        with pytest.raises(UserError, match="cannot be written"):
            FeatureStore(tmp_path).get(Recipe({}, IMAGES), [0], {}, extract)
        assert closed == [True]

    def test_an_error_of_the_extraction_is_not_blamed_on_the_cache(self, tmp_path: Path) -> None:
        def extract(rows: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:  # noqa: ARG001
            raise OSError("the model's file is gone")
            yield

        with pytest.raises(OSError, match="the model's file is gone"):
            FeatureStore(tmp_path).get(Recipe({}, IMAGES), [0], {}, extract)


class TestDamage:
    @pytest.mark.parametrize("number", range(3))
    def test_a_flipped_bit_is_found_and_told_and_that_shard_is_extracted_again(
        self, folder: Path, number: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        offsets = random.Random(number)
        for _ in range(15):
            damaged = shards(folder)[number]
            flip_a_bit(damaged, offsets)
            caplog.clear()
            assert get(folder)[1].rows == list(Recipe({}, IMAGES).shards[number])
            assert [str(damaged) in text for text in warnings(caplog)] == [True]

    def test_a_damaged_shard_does_not_stay_beside_its_successor(self, folder: Path) -> None:
        """Whose name may be another, as when the last bits of the features come out otherwise."""
        flip_a_bit(shards(folder)[0], random.Random(0))
        FeatureStore(folder).get(Recipe({}, IMAGES), [2], {"category": "cable"}, Extractor())
        assert len(shards(folder)) == 3
        assert get(folder)[1].rows == []

    def test_a_flipped_bit_in_the_recipe_is_told_and_mended(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        recipe = next(folder.glob(f"{LAYOUT}/*/recipe.json"))
        before = recipe.read_bytes()
        for seed in range(15):
            flip_a_bit(recipe, random.Random(seed))
            caplog.clear()
            assert get(folder)[1].rows == []
            assert [str(recipe) in text for text in warnings(caplog)] == [True]
            assert recipe.read_bytes() == before

    @pytest.mark.parametrize("kept", [0, 1, 100, -1], ids=lambda kept: f"[:{kept}]")
    def test_a_truncated_last_shard_is_extracted_again(self, folder: Path, kept: int) -> None:
        last = shards(folder)[-1]
        last.write_bytes(last.read_bytes()[:kept])
        assert get(folder)[1].rows == list(range(128, COUNT))

    def test_a_missing_shard_is_extracted_again(self, folder: Path) -> None:
        shards(folder)[1].unlink()
        assert get(folder)[1].rows == list(range(64, 128))

    def test_shards_that_are_missing_here_and_there_are_extracted_again(self, folder: Path) -> None:
        shards(folder)[2].unlink()
        shards(folder)[0].unlink()
        assert get(folder)[1].rows == [*range(64), *range(128, COUNT)]

    def test_a_missing_recipe_is_written_again(self, folder: Path) -> None:
        recipe = next(folder.glob(f"{LAYOUT}/*/recipe.json"))
        before = recipe.read_bytes()
        recipe.unlink()
        assert get(folder)[1].rows == []
        assert recipe.read_bytes() == before

    def test_a_deep_extraction_is_mended_for_shallow_blocks(self, folder: Path) -> None:
        flip_a_bit(shards(folder)[0], random.Random(0))
        _, extract = get(folder, [0])
        assert (extract.rows, extract.deepest) == (list(range(64)), 2)

    def test_a_file_that_is_no_shard_is_left_alone(self, folder: Path) -> None:
        note = shards(folder)[0].with_name("shard-of-mine.txt")
        note.write_text("mine")
        assert get(folder)[1].rows == []
        assert note.exists()

    def test_a_store_that_is_removed_while_it_is_read_is_made_again(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def prune_first(path: Path, blocks: Sequence[int]) -> list[Features]:
            monkeypatch.undo()
            shutil.rmtree(folder / LAYOUT)
            return store.read_shard(path, blocks)

        monkeypatch.setattr(store, "read_shard", prune_first)
        assert get(folder)[1].rows == list(range(COUNT))


class TestNoPlace:
    """Whatever keeps the store from being written ends in one line, with nothing half-written."""

    def test_a_read_only_folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_read_only(folder, monkeypatch)
        with as_nobody(), pytest.raises(UserError, match=r"store cannot be written \(Permission"):
            get(Path("store"), [3])

    def test_a_read_only_folder_with_a_damaged_shard(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flip_a_bit(shards(folder)[0], random.Random(0))
        make_read_only(folder, monkeypatch)
        with as_nobody(), pytest.raises(UserError, match=r"store cannot be written \(Permission"):
            get(Path("store"))

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("in the way")
        with pytest.raises(UserError, match=r"cache cannot be written .*cache_dir=PATH"):
            get(tmp_path / "cache")

    def test_a_folder_of_the_system(self) -> None:
        with pytest.raises(UserError, match="cannot be written"):
            get(Path("/proc/gad_bench"))

    def test_a_limit_on_the_size_of_files(self, tmp_path: Path) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            with pytest.raises(UserError, match=r"cannot be written \(File too large\)"):
                get(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not shards(tmp_path)
        assert not list(tmp_path.rglob(".tmp-*"))

    def test_a_full_disk(self, tmp_path: Path) -> None:
        if not mount_small_disk(tmp_path):
            pytest.skip("this user cannot mount a small disk")
        try:
            with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
                get(tmp_path)
            assert len(shards(tmp_path)) == 1
            assert not list(tmp_path.rglob(".tmp-*"))
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)


class TestOtherLayouts:
    def test_an_older_store_is_told_of_and_not_read(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder / LAYOUT).rename(folder / "features-v0")
        assert len(get(folder)[1].rows) == COUNT
        assert [str(folder / "features-v0") in text for text in warnings(caplog)] == [True]

    def test_a_newer_store_is_left_alone(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder / LAYOUT).rename(folder / "features-v99")
        assert len(get(folder)[1].rows) == COUNT
        assert warnings(caplog) == []
        assert (folder / "features-v99").is_dir()


def mount_small_disk(folder: Path, size: str = "160k") -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def is_mapped(block: Features) -> bool:
    return isinstance(block.base, np.memmap)


def flip_a_bit(path: Path, generator: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def make_read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the store's folders read-only, to be reached as `store`: nobody cannot see pytest's."""
    (folder / "store").mkdir()
    (folder / LAYOUT).rename(folder / "store" / LAYOUT)
    for path in [folder / "store", *(folder / "store").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
