from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gad_bench.base.errors import UserError
from gad_bench.data import fingerprint as module
from gad_bench.data.fingerprint import fingerprint, is_intact

LONG_AGO = 1_500_000_000


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three files that have not changed for long."""
    monkeypatch.setattr(module, "UNSETTLED", 0)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"image %d" % number)
        os.utime(folder / f"{number}.png", (LONG_AGO, LONG_AGO))
    return [str(folder / f"{number}.png") for number in range(3)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files whose content is read."""
    names: list[str] = []
    digest = module.file_digest
    monkeypatch.setattr(
        module, "file_digest", lambda path: (names.append(Path(path).name), digest(path))[1]
    )
    return names


def digests_of(paths: list[str]) -> list[str]:
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


def test_digests_are_those_of_the_contents_in_order(paths: list[str], cache: Path) -> None:
    assert fingerprint(paths[::-1], cache).digests == digests_of(paths[::-1])


def test_a_file_that_has_not_changed_is_not_read_again(
    paths: list[str], cache: Path, read: list[str]
) -> None:
    fingerprint(paths, cache)
    read.clear()
    assert fingerprint(paths, cache).digests == digests_of(paths)
    assert read == []


def test_a_changed_file_is_read_again_even_with_its_old_size_and_time(
    paths: list[str], cache: Path, read: list[str]
) -> None:
    fingerprint(paths, cache)
    read.clear()
    Path(paths[1]).write_bytes(b"image X")
    os.utime(paths[1], (LONG_AGO, LONG_AGO))
    assert fingerprint(paths, cache).digests == digests_of(paths)
    assert read == ["1.png"]


def test_a_file_that_takes_anothers_place_is_read(
    paths: list[str], cache: Path, read: list[str]
) -> None:
    fingerprint(paths, cache)
    read.clear()
    Path(paths[2]).replace(paths[1])
    assert fingerprint(paths[:2], cache).digests == digests_of(paths[:2])
    assert read == ["1.png"]


def test_a_touched_file_keeps_its_digest(paths: list[str], cache: Path) -> None:
    before = fingerprint(paths, cache).digests
    os.utime(paths[0])
    assert fingerprint(paths, cache).digests == before


def test_only_an_added_file_is_read(paths: list[str], cache: Path, read: list[str]) -> None:
    fingerprint(paths[:2], cache)
    read.clear()
    fingerprint(paths, cache)
    assert read == ["2.png"]


def test_a_file_changed_just_now_is_not_trusted_to_stay_so(
    paths: list[str], cache: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNSETTLED", 60_000_000_000)
    fingerprint(paths, cache)
    read.clear()
    fingerprint(paths, cache)
    assert sorted(read) == ["0.png", "1.png", "2.png"]


def test_any_flipped_bit_of_the_index_is_found_and_told(
    paths: list[str], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fingerprint(paths, cache)
    (index,) = cache.rglob("*.json")
    content = index.read_bytes()
    for seed in range(40):
        generator = random.Random(seed)
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        index.write_bytes(damaged)
        caplog.clear()
        assert not is_intact(index)
        assert fingerprint(paths, cache).digests == digests_of(paths)
        assert [str(index) in record.message for record in caplog.records] == [True]
        assert is_intact(index)


@pytest.mark.parametrize("kept", [0, 10, 64, 65, -1])
def test_a_truncated_index_is_found(paths: list[str], cache: Path, kept: int) -> None:
    fingerprint(paths, cache)
    (index,) = cache.rglob("*.json")
    index.write_bytes(index.read_bytes()[:kept])
    assert not is_intact(index)
    assert fingerprint(paths, cache).digests == digests_of(paths)


def test_a_pipe_in_the_indexs_place_is_not_waited_for(
    paths: list[str], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fingerprint(paths, cache)
    (index,) = cache.rglob("*.json")
    index.unlink()
    os.mkfifo(index)
    assert fingerprint(paths, cache).digests == digests_of(paths)
    assert "is damaged" in caplog.text


def test_without_a_place_for_the_index_files_are_read_again(
    paths: list[str], cache: Path, read: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("in the way")
    for _ in range(2):
        read.clear()
        assert fingerprint(paths, cache).digests == digests_of(paths)
        assert len(read) == 3
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert "will be read again" in caplog.text


def test_the_index_is_one_json_object_below_its_checksum(paths: list[str], cache: Path) -> None:
    odd = Path(paths[0]).with_name('odd "é" \\ {1}, [2]: 3.png')
    odd.write_bytes(b"odd")
    everything = [*paths, str(odd)]
    fingerprint(everything, cache)
    (index,) = cache.rglob("*.json")
    checksum, text = index.read_text().split("\n")
    found = [Path(path).stat() for path in everything]
    stamps = [[one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino] for one in found]
    entries = zip(stamps, digests_of(everything), strict=True)
    assert text == json.dumps(dict(zip(everything, entries, strict=True)))
    assert checksum == hashlib.sha256(text.encode()).hexdigest()


def test_files_of_odd_names_are_remembered(paths: list[str], cache: Path, read: list[str]) -> None:
    names = ['"', "\\", "é", "{1}, [2]: 3", "\udc80"]
    odd = [str(Path(paths[0]).with_name(name)) for name in names]
    for path in odd:
        Path(path).write_bytes(path.encode(errors="surrogateescape"))
    fingerprint(odd, cache)
    read.clear()
    assert fingerprint(odd, cache).digests == digests_of(odd)
    assert read == []


def test_memory_grows_by_little_a_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both when all files are new and when all are remembered."""
    monkeypatch.setattr(module, "file_stamp", lambda _: json.dumps([10**6, 10**18, 10**18, 10**6]))
    monkeypatch.setattr(
        module, "file_digest", lambda path: hashlib.sha256(path.encode()).hexdigest()
    )
    files = [f"/images/{number}.png" for number in range(1000, 6000)]
    fingerprint(files[:1], cache / "what is imported late")
    for _ in range(2):
        tracemalloc.start()
        fingerprint(files, cache)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak / len(files) < 700


def test_a_missing_file_is_named(paths: list[str], cache: Path) -> None:
    Path(paths[1]).unlink()
    with pytest.raises(UserError, match=r"1\.png cannot be read: No such file"):
        fingerprint(paths, cache)


def test_a_file_that_changes_after_it_was_looked_at_is_refused(
    paths: list[str], cache: Path
) -> None:
    taken = fingerprint(paths, cache)
    Path(paths[1]).write_bytes(b"another")
    taken.require_unchanged([0, 2])
    with pytest.raises(UserError, match=r"1\.png changed while it was being read: run again"):
        taken.require_unchanged([1])


def test_a_file_that_is_touched_after_it_was_looked_at_is_not_refused(
    paths: list[str], cache: Path
) -> None:
    taken = fingerprint(paths, cache)
    os.utime(paths[1])
    taken.require_unchanged([0, 1, 2])
