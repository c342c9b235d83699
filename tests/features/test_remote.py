from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from safetensors.numpy import save

from gad_bench import cache
from gad_bench.base.errors import UserError
from gad_bench.base.remote import RemoteFolder, RemoteObject
from gad_bench.features.interface import Features
from gad_bench.features.remote import RemoteStore, SharedStore
from gad_bench.features.shards import LAYOUT, shard_files
from gad_bench.features.store import FeatureStore, Recipe, StoredFeatures
from gad_bench.features.upkeep import damaged_files

IMAGES = [f"image {number}" for number in range(150)]  # three shards
RECIPE = Recipe({"backbone": "made up"}, IMAGES)
ABOUT = {"dataset": "made up", "category": "bolts", "backbone": "made up"}


def extract(rows: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:
    numbers = np.asarray(rows, np.float32)[:, None]
    yield tuple(
        numbers + np.full((1, 3 + block), block, np.float32) for block in range(deepest + 1)
    )


def never(*_: Any) -> Iterator[tuple[Features, ...]]:
    raise AssertionError("the features were to come from the remote store")


def fill(folder: Path, extract: Any = extract, deepest: int = 2, **options: Any) -> StoredFeatures:
    return FeatureStore(folder, **options).get(RECIPE, range(deepest + 1), ABOUT, extract)


def shared(url: str, folder: Path) -> SharedStore:
    return SharedStore(RemoteStore(RemoteFolder.at(url), folder))


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(params=["memory", "file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new folder on each kind of file system."""
    if request.param == "file":
        return f"file://{tmp_path}/there"
    if request.param == "memory":
        return f"memory://{uuid4().hex}/there"
    return f"{request.getfixturevalue('bucket')}/{uuid4().hex}"


class TestCommands:
    def test_what_is_pushed_can_be_pulled_elsewhere(
        self, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = fill(tmp_path / "a")
        assert cache.main(["push", url, "--cache-dir", str(tmp_path / "a")]) == 0
        assert "1 extractions, 4 files" in capsys.readouterr().out
        assert cache.main(["push", url, "--cache-dir", str(tmp_path / "a")]) == 0
        assert "1 extractions, 0 files" in capsys.readouterr().out
        assert cache.main(["pull", url, "--cache-dir", str(tmp_path / "b")]) == 0
        assert "1 extractions, 3 files" in capsys.readouterr().out  # the recipe goes without saying
        assert not any(damaged for _, damaged in damaged_files(tmp_path / "b"))
        found = fill(tmp_path / "b", never)
        assert found.cache_hit
        for block, values in made.blocks.items():
            np.testing.assert_array_equal(found.blocks[block], values)

    def test_a_pull_that_was_cut_short_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, download = f"file://{tmp_path}/there", RemoteFolder.download
        fill(tmp_path / "a")
        cache.main(["push", url, "--cache-dir", str(tmp_path / "a")])
        asked: list[str] = []

        def cut_short(self: RemoteFolder, wanted: RemoteObject, target: Path) -> None:
            if asked.append(wanted.name) or len(asked) == 3:
                target.write_bytes(b"half of it")
                raise UserError("the connection was lost")
            download(self, wanted, target)

        with monkeypatch.context() as patched:
            patched.setattr(RemoteFolder, "download", cut_short)
            assert cache.main(["pull", url, "--cache-dir", str(tmp_path / "b")]) == 2
        (entry,) = (tmp_path / "b" / LAYOUT).glob("[0-9a-f]*[0-9a-f]/to-block-2")
        before = len(shard_files(entry))
        assert 0 < before < 3
        assert not any(damaged for _, damaged in damaged_files(tmp_path / "b"))
        assert not list(entry.glob(".tmp-*"))
        assert cache.main(["pull", url, "--cache-dir", str(tmp_path / "b")]) == 0
        assert fill(tmp_path / "b", never).cache_hit

    def test_what_is_unfinished_neither_goes_nor_comes(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = f"file://{tmp_path}/there"
        fill(tmp_path / "a")
        cache.main(["push", url, "--cache-dir", str(tmp_path / "a")])
        for place in ("there", "a"):
            next((tmp_path / place).rglob("shard-00001*")).unlink()
        assert cache.main(["pull", url, "--cache-dir", str(tmp_path / "b")]) == 0
        assert "unfinished there" in capsys.readouterr().out
        assert not list((tmp_path / "b").rglob("shard-*"))
        cache.main(["push", f"file://{tmp_path}/elsewhere", "--cache-dir", str(tmp_path / "a")])
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("nowhere://there", "nowhere"),
            ("s3://bolts:secret@there", "password"),
            ("memory://empty", ""),
        ],
    )
    def test_a_url_that_will_not_do_is_one_line(
        self, url: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = cache.main(["pull", url, "--cache-dir", str(tmp_path)])
        lines = capsys.readouterr().err.splitlines()
        assert (status, len(lines)) == ((2, 1) if reason else (0, 0))
        assert reason in "".join(lines)

    def test_what_is_damaged_here_is_not_pushed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        fill(tmp_path / "a")
        shard = next((tmp_path / "a").rglob("shard-00001*"))
        shard.write_bytes(shard.read_bytes()[:-1] + b"x")
        there = tmp_path / "there"
        assert cache.main(["push", there.as_uri(), "--cache-dir", str(tmp_path / "a")]) == 1
        assert f"{shard} is damaged" in caplog.text
        assert sorted(path.name[:11] for path in there.rglob("*.*")) == [
            "shard-00000",
            "shard-00002",
        ]


class TestHostile:
    """A remote store whose owner means us ill, or whose disk is bad."""

    @pytest.fixture
    def there(self, tmp_path: Path) -> Path:
        fill(tmp_path / "a")
        cache.main(["push", f"file://{tmp_path}/there", "--cache-dir", str(tmp_path / "a")])
        return tmp_path / "there"

    def pull(self, there: Path) -> int:
        return cache.main(["pull", there.as_uri(), "--cache-dir", str(there.parent / "b")])

    def refused(self, there: Path) -> None:
        """The pull says that it refused, and no shard of that number is here."""
        assert self.pull(there) == 1
        assert len(list((there.parent / "b").rglob("shard-*"))) == 2
        assert fill(there.parent / "b").seconds_extract > 0  # the run makes it itself

    def test_content_that_is_not_what_its_name_says(self, there: Path) -> None:
        shard = next(there.rglob("shard-00001*"))
        shard.write_bytes(shard.read_bytes()[:-1] + b"x")
        self.refused(there)

    @pytest.mark.parametrize(
        "tensors",
        [
            {},
            {"block_0": np.zeros((64, 3), np.float32)},
            {f"block_{i}": np.zeros((63, 3 + i), np.float32) for i in range(3)},
            {f"block_{i}": np.zeros((64, 4 + i), np.float32) for i in range(3)},
            {f"block_{i}": np.zeros((64, 3 + i), np.float64) for i in range(3)},
        ],
    )
    def test_a_shard_of_other_features(self, tensors: dict[str, Any], there: Path) -> None:
        shard, content = next(there.rglob("shard-00001*")), save(tensors)
        digest = hashlib.sha256(content).hexdigest()[:32]
        shard.with_name(f"shard-00001-{digest}.safetensors").write_bytes(content)
        shard.unlink()
        self.refused(there)

    @pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b'{"images":1}'])
    def test_a_recipe_that_is_none(self, content: bytes, there: Path) -> None:
        entry = next((there / LAYOUT).iterdir())
        (entry / "recipe.json").write_bytes(content)
        entry.rename(entry.with_name(hashlib.sha256(content).hexdigest()))
        assert self.pull(there) == 0
        assert not list((there.parent / "b").rglob("*.*s*"))

    def test_more_than_was_listed(self, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        listed = RemoteFolder.files

        def too_small(self: RemoteFolder, within: str = "") -> Iterator[RemoteObject]:
            for found in listed(self, within):
                is_one = "shard-00001" in found.name
                yield RemoteObject(found.name, found.size - is_one, found.version)

        monkeypatch.setattr(RemoteFolder, "files", too_small)
        assert self.pull(there) == 2
        assert not list((there.parent / "b").rglob("shard-00001*"))

    def test_more_than_the_disk_holds(
        self, there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        usage = shutil.disk_usage(there)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        assert self.pull(there) == 2
        assert "free" in capsys.readouterr().err
        assert not list((there.parent / "b").rglob("shard-*"))

    def test_names_that_lead_elsewhere(self, there: Path, tmp_path: Path) -> None:
        store, root = fsspec.filesystem("memory"), f"/{uuid4().hex}"
        key, shard = next((there / LAYOUT).iterdir()).name, next(there.rglob("shard-00000*")).name
        for name, content in files(there).items():
            store.pipe_file(f"{root}/{name}", content)
        for name in (
            f"{LAYOUT}/../../outside.json",
            f"{LAYOUT}/{key}/../../../outside/recipe.json",
            f"{LAYOUT}/{key}/to-block-2/../../../../{shard}",
            f"{LAYOUT}/{key}/to-block-02/{shard}",
            f"{LAYOUT}/{key}/to-block-2/x{shard}",
            f"{LAYOUT}/{key}/to-block-2/.tmp-1",
        ):
            store.store[f"{root}/{name}"] = store.store[f"{root}/{LAYOUT}/{key}/recipe.json"]
        before = files(tmp_path)
        folder = RemoteFolder.at(f"memory://{root}")
        assert len(RemoteStore(folder, tmp_path / "b").listing().strangers) >= 5
        (done,) = RemoteStore(folder, tmp_path / "b").pull()
        assert (done.files, done.refused) == (3, {})
        pulled = files(tmp_path / "b" / LAYOUT / key)
        assert pulled == files(there / LAYOUT / key)
        new = files(tmp_path).keys() - before.keys()
        assert all(name.startswith(f"b/{LAYOUT}/{key}") for name in new)


class TestShared:
    def test_a_run_pulls_before_it_extracts_and_pushes_after(
        self, url: str, tmp_path: Path
    ) -> None:
        a, b, c = (tmp_path / name for name in "abc")
        made = fill(a, remote=shared(url, a))
        assert not made.cache_hit
        found = fill(b, never, remote=shared(url, b))
        assert (found.cache_hit, found.seconds_extract) == (True, 0.0)
        np.testing.assert_array_equal(found.blocks[2], made.blocks[2])
        fewer = fill(c, never, deepest=1, remote=shared(url, c))  # a deeper one serves
        np.testing.assert_array_equal(fewer.blocks[1], made.blocks[1])

    def test_what_is_missing_there_is_extracted_here_and_pushed(self, tmp_path: Path) -> None:
        a, b, there = (tmp_path / name for name in ("a", "b", "there"))
        made = fill(a, remote=shared(there.as_uri(), a))
        next(there.rglob("shard-00001*")).unlink()
        rows: list[int] = []

        def extract_some(asked: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:
            rows.extend(asked)
            yield from extract(asked, deepest)

        found = fill(b, extract_some, remote=shared(there.as_uri(), b))
        assert rows == list(range(64, 128))
        np.testing.assert_array_equal(found.blocks[0], made.blocks[0])
        assert len(list(there.rglob("shard-*"))) == 3

    def test_a_lost_connection_is_told_once_and_the_run_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def lost(self: RemoteFolder, _: str = "") -> Iterator[RemoteObject]:
            raise UserError(f"{self.url} cannot be read: no route to host")

        monkeypatch.setattr(RemoteFolder, "files", lost)
        assert not fill(tmp_path, remote=shared("memory://lost", tmp_path)).cache_hit
        assert caplog.text.count("cannot be read: no route to host: the run goes on") == 1

    def test_a_run_names_it_by_cache_remote(self, program: Any, tmp_path: Path) -> None:
        small = ("dataset.train=8", "dataset.test_good=4", "dataset.test_defective=2")
        quick = ("experiment=demo", "tracking=none", "figures=false", "backbone.octaves=1")
        quick += ("backbone.input_size=16", "runtime=torch")
        there = f"cache_remote=file://{tmp_path}/there"
        for number, name in enumerate("ab"):
            outcome = program(*quick, *small, there, f"cache_dir={tmp_path / name}")
            assert outcome.status == 0
            assert outcome.metrics["cache_hit"] == bool(number)
        key = json.loads(next((tmp_path / "there").rglob("recipe.json")).read_text())
        assert len(key["images"]) == 8 + 4 + 2 * 4


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    if find_spec("moto") is None or find_spec("s3fs") is None:
        pytest.skip("needs pip install 'gad-bench[test-s3]'")
    from s3_server import s3_bucket

    with s3_bucket() as url:
        yield url
