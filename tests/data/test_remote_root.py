from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import fsspec
import numpy as np
import pytest

from gad_bench import cache
from gad_bench.base.errors import UserError
from gad_bench.base.remote import RemoteFolder, RemoteObject
from gad_bench.config import build_dataset, compose_config
from gad_bench.data.remote_root import Mirror, local_root

LAYOUT = {"train/good": 6, "test/good": 3, "test/crack": 3}


def picture(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


class Bucket:
    """A folder on object storage, and what is asked of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store, self.root = fsspec.url_to_fs(url)

    def put(self, name: str, content: bytes) -> None:
        self.store.pipe_file(f"{self.root}/{name}", content)

    def fill(self, *categories: str) -> Bucket:
        seed = 0
        for category in categories:
            for folder, count in LAYOUT.items():
                for number in range(count):
                    self.put(f"{category}/{folder}/{number:03}.png", picture(seed := seed + 1))
        return self


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(f"memory://{uuid4().hex}/mvtec").fill("bottle", "cable")


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the objects that were copied."""
    names: list[str] = []
    download = RemoteFolder.download

    def listening(self: RemoteFolder, wanted: RemoteObject, target: Path) -> None:
        names.append(wanted.name)
        download(self, wanted, target)

    monkeypatch.setattr(RemoteFolder, "download", listening)
    return names


def fetch(bucket: Bucket, folder: Path, category: str | None = "bottle") -> Path:
    return local_root(bucket.url, category, ["bottle", "cable"], folder)


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_categorys_images_come_once(bucket: Bucket, tmp_path: Path, copied: list[str]) -> None:
    root = fetch(bucket, tmp_path)
    assert root.name == "mvtec"
    assert {name.partition("/")[0] for name in names(root)} == {"bottle"}
    assert len(copied) == sum(LAYOUT.values())
    for name in names(root):
        assert (root / name).read_bytes() == bucket.store.cat_file(f"{bucket.root}/{name}")
    fetch(bucket, tmp_path)
    assert len(copied) == sum(LAYOUT.values())
    fetch(bucket, tmp_path, "cable")
    assert {name.partition("/")[0] for name in names(root)} == {"bottle", "cable"}


def test_what_changes_there_changes_here(bucket: Bucket, tmp_path: Path, copied: list[str]) -> None:
    root = fetch(bucket, tmp_path)
    copied.clear()
    bucket.put("bottle/train/good/000.png", picture(99))
    bucket.put("bottle/train/good/006.png", picture(100))
    bucket.store.rm(f"{bucket.root}/bottle/train/good/001.png")
    fetch(bucket, tmp_path)
    assert sorted(copied) == ["bottle/train/good/000.png", "bottle/train/good/006.png"]
    assert (root / "bottle/train/good/000.png").read_bytes() == picture(99)
    assert not (root / "bottle/train/good/001.png").exists()


def test_what_was_cut_short_goes_on(
    bucket: Bucket, tmp_path: Path, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: RemoteFolder, wanted: RemoteObject, target: Path) -> None:
        if len(copied) >= 5:  # several threads copy
            target.write_bytes(b"half")
            raise UserError("the connection was lost")
        download(self, wanted, target)

    download = RemoteFolder.download
    with monkeypatch.context() as patched:
        patched.setattr(RemoteFolder, "download", killed)
        with pytest.raises(UserError, match="lost"):
            fetch(bucket, tmp_path)
    done = len(copied)
    (mirror,) = [Mirror.of(RemoteFolder.at(bucket.url), tmp_path)]
    with mirror.versions.open("a") as file:
        file.write('\n["bottle/train/go')  # as a process leaves it that is killed now
    root = fetch(bucket, tmp_path)
    assert len(copied) < done + sum(LAYOUT.values())
    assert len(names(root)) == sum(LAYOUT.values())
    assert all((root / name).stat().st_size > 100 for name in names(root))


def test_a_pipe_in_the_place_of_the_copies_versions_is_not_waited_for(
    bucket: Bucket, tmp_path: Path
) -> None:
    mirror = Mirror.of(RemoteFolder.at(bucket.url), tmp_path)
    mirror.versions.parent.mkdir(parents=True)
    os.mkfifo(mirror.versions)
    with pytest.raises(UserError, match="it is no regular file"):
        fetch(bucket, tmp_path)


@pytest.mark.parametrize("name", ["../outside.png", "bottle/../../outside.png", "bottle//x.png"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, bucket: Bucket, tmp_path: Path) -> None:
    place = f"{bucket.root}/{name}"
    bucket.store.store[place] = bucket.store.store[f"{bucket.root}/bottle/train/good/000.png"]
    with pytest.raises(UserError, match="no name of a file"):
        fetch(bucket, tmp_path, None)
    assert not list(tmp_path.rglob("outside.png"))
    assert not list(tmp_path.rglob("x.png"))


@pytest.mark.parametrize("url", ["memory://nothing", "nowhere://there", "https://a:secret@there"])
def test_a_root_that_will_not_do_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing|nowhere|password"):
        local_root(url, "bottle", [], tmp_path)


def test_a_lost_connection_is_one_line(program: Any) -> None:
    root = "dataset.root=http://127.0.0.1:9/parts"
    outcome = program("backbone=filterbank", "dataset=folder", "category=bottle", root)
    assert (outcome.status, len(outcome.errors.splitlines())) == (2, 1)
    assert "http://127.0.0.1:9/parts cannot be read" in outcome.errors


def test_a_folder_of_unknown_categories(bucket: Bucket, tmp_path: Path, copied: list[str]) -> None:
    asked = ["dataset=folder", f"dataset.root={bucket.url}", f"cache_dir={tmp_path}"]
    config = compose_config(asked)
    assert len(build_dataset(config, "cable").catalog("cable")) == sum(LAYOUT.values())
    assert len(copied) == sum(LAYOUT.values())
    assert build_dataset(config).category_names() == ["bottle", "cable"]


def test_a_root_that_is_one_category_keeps_its_name(bucket: Bucket, tmp_path: Path) -> None:
    root = f"dataset.root={bucket.url}/cable"
    config = compose_config(["dataset=folder", root, f"cache_dir={tmp_path}"])
    assert build_dataset(config, "bottle").category_names() == ["cable"]


def test_the_cache_lists_and_prunes_the_copies(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fetch(bucket, tmp_path)
    assert cache.main(["list", "--cache-dir", str(tmp_path)]) == 0
    assert f"{sum(LAYOUT.values())} copied images, " in capsys.readouterr().out
    assert cache.main(["prune", "--max-size", "0", "--cache-dir", str(tmp_path)]) == 0
    assert not root.exists()
    assert len(names(fetch(bucket, tmp_path))) == sum(LAYOUT.values())


def test_a_run_on_s3(server: str, program: Any, tmp_path: Path, copied: list[str]) -> None:
    there = Bucket(f"{server}/mvtec").fill("bottle", "cable")
    bank = ["backbone=filterbank", "backbone.octaves=1", "backbone.input_size=16", "runtime=torch"]
    quick = [*bank, "tracking=none", "figures=false", "covariance=diagonal", "category=bottle"]
    asked = [*quick, f"cache_dir={tmp_path}", f"dataset.root={there.url}"]
    outcome = program(*asked)
    assert (outcome.status, outcome.metrics["images_test"]) == (0, 6), outcome.errors
    assert len(copied) == sum(LAYOUT.values())
    there.put("bottle/test/good/000.png", picture(1000))
    fetch(there, tmp_path)
    assert copied[sum(LAYOUT.values()) :] == ["bottle/test/good/000.png"]
    versions = Mirror.of(RemoteFolder.at(there.url), tmp_path).versions.read_text().split("\n")
    assert json.loads(versions[-1])[1].strip('"').isalnum()  # an etag


@pytest.fixture
def server() -> Iterator[str]:
    if find_spec("moto") is None or find_spec("s3fs") is None:
        pytest.skip("needs pip install 'gad-bench[test-s3]'")
    from s3_server import s3_bucket

    with s3_bucket() as url:
        yield url
