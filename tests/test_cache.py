from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock

from gad_bench import cache
from gad_bench.data.fingerprint import file_digest, fingerprint
from gad_bench.features.decoded import FOLDER as IMAGES
from gad_bench.features.decoded import DecodedImages
from gad_bench.features.interface import Features
from gad_bench.features.shards import LAYOUT, StoredExtraction, entry_folders, extractions
from gad_bench.features.store import FeatureStore, Recipe
from gad_bench.features.upkeep import Kept, damaged_files, holdings, kept_images, remove

DAY = 86_400
COUNT = 100  # two shards
INDEX_AND_IMAGE = ("fingerprints-v1/*.json", f"{IMAGES}/*/*/*")


def zeros(rows: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:
    yield tuple(np.zeros((len(rows), 50), np.float32) for _ in range(deepest + 1))


def store(folder: Path, category: str, deepest: int = 1, unused: float = 0) -> StoredExtraction:
    """Store the features of a category, last used some days ago."""
    images = [f"{category} {number}" for number in range(COUNT)]
    about = {"dataset": "mvtec_ad", "category": category, "backbone": "resnet-18"}
    path = FeatureStore(folder).get(Recipe({}, images), [deepest], about, zeros).path
    then = time.time() - unused * DAY
    os.utime(path, (then, then))
    return StoredExtraction(path.parent, deepest)


def keep_image(folder: Path) -> Path:
    """Keep a decoded image of 8 x 8 pixels, and return its file."""
    picture = folder / "picture.png"
    cv2.imwrite(str(picture), np.zeros((10, 10, 3), np.uint8))
    images, digest = DecodedImages(folder), file_digest(str(picture))
    images.read(str(picture), 8, digest)
    return images.folder(8) / digest[:2] / digest


def make_old(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (time.time() - 2 * DAY,) * 2)


def categories(folder: Path) -> list[str]:
    return [holding.about["category"] for holding in holdings(folder)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three categories of like size, last used 30, 10 and 0 days ago, and an index of images."""
    for category, days in (("bottle", 30), ("cable", 10), ("screw", 0)):
        store(tmp_path, category, unused=days)
    (tmp_path / "image.png").write_bytes(b"image")
    fingerprint([str(tmp_path / "image.png")], tmp_path)
    return tmp_path


class Run:
    """Runs a command on a folder and keeps what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.lines: list[str] = []

    def __call__(self, command: str, folder: Path, *options: str) -> int:
        status = cache.main([command, "--cache-dir", str(folder), *options])
        captured = self.capsys.readouterr()
        self.lines = (captured.out + captured.err).splitlines()
        return status


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


class TestList:
    def test_a_line_tells_what_each_extraction_is(self, folder: Path, run: Run) -> None:
        assert run("list", folder) == 0
        size = cache.format_size(holdings(folder)[0].size)
        assert run.lines[0].split() == [*cache.COLUMNS[:-2], "last", "used", "state"]
        words = ["mvtec_ad", "bottle", "resnet-18", "0-1", "100", "1", *size.split()]
        assert run.lines[1].split() == [*words, *run.lines[1].split()[8:10], "30", "d", "complete"]
        assert [line.split()[1] for line in run.lines[1:4]] == ["bottle", "cable", "screw"]
        assert run.lines[4].startswith("3 extractions, ")

    def test_two_depths_of_the_same_images_are_two_extractions(
        self, folder: Path, run: Run
    ) -> None:
        store(folder, "cable", deepest=4, unused=0)
        run("list", folder)
        assert [line.split()[3] for line in run.lines if " cable " in line] == ["0-1", "0-4"]

    def test_an_extraction_that_was_interrupted_tells_its_parts(
        self, folder: Path, run: Run
    ) -> None:
        next(folder.glob(f"{LAYOUT}/*/*/shard-00001*")).unlink()
        run("list", folder)
        assert sum("1 of 2 parts" in line for line in run.lines) == 1

    def test_an_extraction_that_runs_is_said_to(self, folder: Path, run: Run) -> None:
        running = extractions(entry_folders(folder)[0])[0]
        next(running.folder.glob("shard-00001*")).unlink()
        with FileLock(running.lock):
            run("list", folder)
        assert sum(line.endswith("1 of 2 parts, running") for line in run.lines) == 1

    def test_a_damaged_recipe_is_said_to_be(self, folder: Path, run: Run) -> None:
        next(folder.glob(f"{LAYOUT}/*/recipe.json")).write_text("{}")
        run("list", folder)
        assert sum(line.endswith("recipe damaged") for line in run.lines) == 1

    def test_an_older_store_is_named(self, folder: Path, run: Run) -> None:
        (folder / "features-v0").mkdir()
        run("list", folder)
        assert run.lines[-1].startswith(f"{folder / 'features-v0'}: not read any more")

    def test_an_empty_store_is_no_error(self, tmp_path: Path, run: Run) -> None:
        assert run("list", tmp_path / "nothing") == 0
        assert run.lines == [f"0 extractions, 0 B, in {tmp_path / 'nothing'}"]

    def test_decoded_images_have_a_line_by_size(self, folder: Path, run: Run) -> None:
        kept = keep_image(folder)
        run("list", folder)
        assert run.lines[-1] == f"1 decoded image, 309 B, last used 0 s ago, in {kept.parents[1]}"


class TestVerify:
    def test_a_sound_store_passes(self, folder: Path, run: Run) -> None:
        assert run("verify", folder) == 0
        assert run.lines[0].startswith("10 files checked")

    @pytest.mark.parametrize(
        "pattern",
        [f"{LAYOUT}/*/*/shard-00000*", f"{LAYOUT}/*/recipe.json", *INDEX_AND_IMAGE],
        ids=["shard", "recipe", "index", "image"],
    )
    def test_one_flipped_bit_anywhere_is_named(self, folder: Path, run: Run, pattern: str) -> None:
        keep_image(folder)
        path = next(folder.glob(pattern))
        content = path.read_bytes()
        for offset in range(0, len(content), max(1, len(content) // 40)):
            damaged = bytearray(content)
            damaged[offset] ^= 1 << offset % 8
            path.write_bytes(damaged)
            assert run("verify", folder) == 1
            assert run.lines[0] == f"damaged: {path}"
            assert run.lines[-1].startswith("1 damaged")

    def test_a_kept_image_in_anothers_place_is_named(self, folder: Path, run: Run) -> None:
        kept = keep_image(folder)
        other = kept.with_name(kept.name[::-1])
        shutil.copyfile(kept, other)
        assert run("verify", folder) == 1
        assert run.lines[0] == f"damaged: {other}"

    def test_nothing_is_changed(self, folder: Path, run: Run) -> None:
        path = next(folder.glob(f"{LAYOUT}/*/*/shard-00000*"))
        path.write_bytes(b"damaged")
        run("verify", folder)
        assert path.read_bytes() == b"damaged"

    def test_an_interrupted_extraction_is_not_damaged(self, folder: Path, run: Run) -> None:
        shard = next(folder.glob(f"{LAYOUT}/*/*/shard-00001*"))
        shard.rename(shard.with_name(".tmp-abc.safetensors"))
        assert run("verify", folder) == 0

    def test_what_is_removed_meanwhile_is_not_damaged(self, folder: Path) -> None:
        keep_image(folder)
        found = damaged_files(folder)
        first = next(found)
        for name in (LAYOUT, "fingerprints-v1", IMAGES):
            shutil.rmtree(folder / name)
        assert not any(is_damaged for _, is_damaged in (first, *found))


class TestPrune:
    def test_what_was_not_used_for_long_goes(self, folder: Path, run: Run) -> None:
        assert run("prune", folder, "--older-than", "20") == 0
        assert categories(folder) == ["cable", "screw"]
        assert run.lines[0].startswith("removed: mvtec_ad bottle resnet-18, ")

    def test_the_longest_unused_go_until_the_rest_fits(self, folder: Path, run: Run) -> None:
        size = sum(holding.size for holding in holdings(folder)[1:])
        run("prune", folder, "--max-size", str(size))
        assert categories(folder) == ["cable", "screw"]
        run("prune", folder, "--max-size", str(size - 1))
        assert categories(folder) == ["screw"]
        run("prune", folder, "--max-size", "0")
        assert categories(folder) == []

    def test_both_limits_together(self, folder: Path, run: Run) -> None:
        size = holdings(folder)[-1].size
        run("prune", folder, "--older-than", "20", "--max-size", str(size))
        assert categories(folder) == ["screw"]

    def test_reading_makes_it_recent(self, folder: Path, run: Run) -> None:
        images = [f"bottle {number}" for number in range(COUNT)]
        FeatureStore(folder).get(Recipe({}, images), [0], {}, zeros)
        run("prune", folder, "--older-than", "20")
        assert categories(folder) == ["cable", "screw", "bottle"]

    def test_a_dry_run_tells_and_keeps(self, folder: Path, run: Run) -> None:
        before = sorted(folder.rglob("*"))
        assert run("prune", folder, "--older-than", "20", "--dry-run") == 0
        assert sorted(folder.rglob("*")) == before
        assert run.lines[0].startswith("would remove: mvtec_ad bottle")
        assert run.lines[-1].endswith("would be freed")

    def test_what_another_prune_has_removed_is_no_error(self, folder: Path) -> None:
        keep_image(folder)
        held: list[Kept] = [*holdings(folder), *kept_images(folder)]
        for _ in range(2):
            assert all(one.remove() for one in held)
        assert not [*holdings(folder), *kept_images(folder)]

    def test_nothing_is_left_of_what_goes(self, folder: Path, run: Run) -> None:
        run("prune", folder, "--max-size", "0")
        assert list((folder / LAYOUT).iterdir()) == []

    def test_another_depth_of_the_same_images_stays_whole(self, folder: Path, run: Run) -> None:
        store(folder, "bottle", deepest=4, unused=0)
        run("prune", folder, "--older-than", "20")
        assert categories(folder) == ["cable", "screw", "bottle"]
        assert run("verify", folder) == 0

    @pytest.mark.parametrize("option", [[], ["--dry-run"]], ids=["for good", "dry run"])
    def test_what_a_running_extraction_holds_stays(
        self, folder: Path, run: Run, option: list[str]
    ) -> None:
        running = holdings(folder)[0].extraction
        with FileLock(running.lock):
            run("prune", folder, "--older-than", "5", *option)
        assert "bottle" in categories(folder)
        assert run.lines[0].startswith("kept, it is being extracted: mvtec_ad bottle")

    def test_an_older_store_goes_without_being_asked(self, folder: Path, run: Run) -> None:
        older = folder / "features-v0" / hashlib.sha256(bytes(2000)).hexdigest()
        older.mkdir(parents=True)
        (older / "recipe.json").write_bytes(bytes(2000))
        older.with_name(f"{older.name}.to-block-3.lock").touch()
        run("prune", folder)
        assert not (folder / "features-v0").exists()
        assert len(categories(folder)) == 3
        assert run.lines[-1] == "2 kB were freed"

    def test_so_do_images_that_an_older_version_kept(self, folder: Path, run: Run) -> None:
        kept = keep_image(folder)
        older = folder / "images-v1" / kept.relative_to(folder / IMAGES)
        older.parent.mkdir(parents=True)
        kept.rename(older)
        run("list", folder)
        assert any(f"{folder / 'images-v1'}: not read any more" in line for line in run.lines)
        run("prune", folder)
        assert not (folder / "images-v1").exists()

    @pytest.mark.parametrize(
        "name",
        [
            *("features/a.png", "features-v0/a.png", "images-v1/a.png", "images-v1/line-1/a.png"),
            *(f"{IMAGES}/line-1/a.png", f"{IMAGES}/line-1/aa/a.png", f"{LAYOUT}/mine/a.png"),
            *("images/line-1/a.png", f"features-v0/{'0' * 64}/recipe.json", "features-v0.txt"),
        ],
    )
    def test_what_is_the_users_own_stays(self, folder: Path, run: Run, name: str) -> None:
        own = folder / name
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text("mine")
        make_old(own, own.parent)
        assert run("prune", folder, "--max-size", "0", "--older-than", "0") == 0
        assert own.read_text() == "mine"
        assert categories(folder) == []

    def test_a_removal_that_was_killed_is_finished(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(path: Path) -> None:  # noqa: ARG001
            raise KeyboardInterrupt

        monkeypatch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(holdings(folder)[0].extraction)
        monkeypatch.undo()
        assert categories(folder) == ["cable", "screw"]
        make_old(*(folder / LAYOUT).glob(".tmp-*"))
        run("prune", folder)
        assert not list((folder / LAYOUT).glob(".tmp-*"))

    def test_what_killed_writers_left_goes_after_a_day(self, folder: Path, run: Run) -> None:
        entry = entry_folders(folder)[0]
        left = [entry / ".tmp-1.json", folder / "fingerprints-v1" / ".tmp-2.json"]
        for path in left:
            path.write_bytes(bytes(500))
        run("prune", folder)
        assert all(path.exists() for path in left)
        make_old(*left)
        run("prune", folder)
        assert not any(path.exists() for path in left)
        assert run.lines[-1] == "1 kB were freed"
        assert len(categories(folder)) == 3

    def test_decoded_images_of_one_size_go_together(self, folder: Path, run: Run) -> None:
        kept = keep_image(folder)
        run("prune", folder, "--older-than", "20")
        assert kept.exists()
        make_old(kept.parents[1])
        run("prune", folder, "--older-than", "1")
        assert not kept.parents[1].exists()
        assert f"removed: 1 decoded image, 309 B: {kept.parents[1]}" in run.lines

    def test_what_went_is_extracted_again(self, folder: Path) -> None:
        extraction = holdings(folder)[0].extraction
        assert remove(extraction)
        assert store(folder, "bottle") == extraction

    def test_a_folder_that_cannot_be_written_ends_in_one_line(
        self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(self: Path, target: Path) -> None:  # noqa: ARG001
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "rename", denied)
        assert run("prune", folder, "--max-size", "0") == 2
        (line,) = run.lines
        assert line.startswith("error: ")
        assert line.endswith(": Permission denied")


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("500", 500), ("2k", 2000), ("1.5MB", 1_500_000), ("20 gb", 20 * 10**9)],
)
def test_sizes_are_in_powers_of_1000(text: str, size: int) -> None:
    assert cache.parse_size(text) == size


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (189_400, "189 kB"), (1.5e9, "1.5 GB")]
)
def test_sizes_are_told_in_the_unit_that_fits(size: float, text: str) -> None:
    assert cache.format_size(size) == text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["lst"],
        ["prune", "--max-size", "many"],
        ["prune", "--older-than", "-1"],
        ["list", "--dry-run"],
    ],
)
def test_a_wrong_command_line_ends_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cache.main(arguments)
    assert end.value.code == 2


def test_the_folder_is_the_environments_or_the_users(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GAD_BENCH_CACHE", "/nowhere/cache")
    cache.main(["list"])
    assert capsys.readouterr().out == "0 extractions, 0 B, in /nowhere/cache\n"
    monkeypatch.delenv("GAD_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    cache.main(["list"])
    assert capsys.readouterr().out == "0 extractions, 0 B, in /nowhere/gad_bench\n"


def test_it_starts_without_the_libraries_that_only_runs_need() -> None:
    program = (
        "import sys, gad_bench.cache\n"
        "gad_bench.cache.main(['list', '--cache-dir', '/nowhere'])\n"
        "heavy = {'torch', 'timm', 'mlflow', 'sklearn', 'hydra', 'pandas', 'cv2', 'openvino'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    end = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert end.stdout.decode().splitlines()[-1] == "[]"
