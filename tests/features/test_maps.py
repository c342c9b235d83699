"""Stored maps of real image files, and the vectors that the same pass yields."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.features import extraction, maps, shards
from gad_bench.features.blocks import Blocks
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder, Runtime
from gad_bench.features.maps import MapsBackbone, MapStorage
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime
from gad_bench.features.source import FeatureSource
from gad_bench.features.timm_backbone import TimmBackbone

COUNT = 21  # images: two full shards of maps and a part
BANK = FilterBank(input_size=64, octaves=2)
NETWORK = TimmBackbone(
    name="resnet18", pretrained=False, input_size=64, taps=["maxpool", "layer1", "layer2"]
)


@pytest.fixture
def images() -> list[NDArray[np.uint8]]:
    noise = np.random.default_rng(0).random((COUNT, 6, 6, 3), np.float32)
    return [np.uint8(255 * np.clip(cv2.resize(image, (64, 64)), 0, 1)) for image in noise]


@pytest.fixture
def paths(tmp_path: Path, images: list[NDArray[np.uint8]]) -> list[str]:
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(tmp_path / "images" / f"{number:02}.png"), image[..., ::-1])
    return sorted(map(str, (tmp_path / "images").iterdir()))


def source_in(folder: Path, backbone: Any = BANK, **changes: Any) -> FeatureSource:
    runtime: Runtime = changes.pop("runtime", TorchRuntime())
    encoder = Encoder(backbone=backbone, runtime=runtime, device="cpu", batch_size=4)
    source = FeatureSource(
        encoder=encoder, blocks=Blocks(), cache_dir=str(folder), about={"category": "bottle"}
    )
    return replace(source, **changes)


def taken(source: FeatureSource, paths: list[str], *blocks: int) -> dict[int, NDArray[Any]]:
    obtained = source.maps(paths, blocks)
    return {block: own.take(np.arange(len(paths))) for block, own in obtained.blocks.items()}


def plain(images: list[NDArray[np.uint8]], backbone: Any = BANK) -> list[NDArray[np.float32]]:
    """What the backbone gives, without store or extraction."""
    return TorchRuntime().compile(backbone.build_maps(2), 64, "cpu")(np.stack(images))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("features-v1/*/*-block-*"))


@pytest.mark.parametrize("backbone", [BANK, NETWORK], ids=["filter bank", "network"])
def test_they_are_what_the_backbone_gives(
    tmp_path: Path, paths: list[str], images: list[NDArray[np.uint8]], backbone: Any
) -> None:
    found, expected = (
        taken(source_in(tmp_path / "c", backbone), paths, 1, 2),
        plain(images, backbone),
    )
    for block in (1, 2):
        np.testing.assert_array_equal(found[block], expected[block])


def test_any_images_are_read_in_any_order_and_in_batches(
    tmp_path: Path,
    paths: list[str],
    images: list[NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    obtained, rows = source_in(tmp_path / "c").maps(paths, [1]), np.array([20, 3, 4, 9, 3])
    monkeypatch.setattr(maps, "MOST_AT_ONCE", 2)
    stream = obtained.rows(rows)
    batches = [batch[1] for batch in stream]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert stream.images == 5
    np.testing.assert_array_equal(np.concatenate(batches), plain(images)[1][rows])


def test_a_batch_takes_little_memory_on_the_finest_grid(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = source_in(tmp_path / "c").maps(paths, [0, 2]).rows(np.arange(COUNT))
    an_image = 4 * (3 + 18) * 64 * 64
    monkeypatch.setattr(maps, "BATCH_BYTES", 3 * an_image + 1)
    assert {len(rows) for rows in stream.batches()} == {3}


def test_the_second_time_nothing_is_read(
    tmp_path: Path, paths: list[str], read: Counter[str]
) -> None:
    source = source_in(tmp_path / "c")
    first = source.maps(paths, [1, 2])
    again = source.maps(paths, [2])
    assert set(read.values()) == {1}
    assert not first.cache_hit
    assert again.cache_hit
    assert again.seconds_extract == 0
    assert again.images_per_second == first.images_per_second
    assert again.images_per_second == pytest.approx(len(paths) / first.seconds_extract)
    assert again.images_digest == source.features(paths).images_digest
    speed = again.path / "speed.json"
    speed.unlink()
    os.mkfifo(speed)
    assert source.maps(paths, [2]).images_per_second is None


def test_a_further_block_costs_that_block_alone(tmp_path: Path, paths: list[str]) -> None:
    source = source_in(tmp_path / "c")
    source.maps(paths, [2])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("shard-*")}
    source.maps(paths, [1, 2])
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert entries(tmp_path / "c") == ["maps-of-block-1", "maps-of-block-2", "to-block-2"]


def test_no_map_is_stored_that_nobody_asked_for(tmp_path: Path, paths: list[str]) -> None:
    source_in(tmp_path / "c").features(paths)
    assert entries(tmp_path / "c") == ["to-block-2"]


class TestVectors:
    @pytest.mark.parametrize("backbone", [BANK, NETWORK], ids=["filter bank", "network"])
    def test_the_same_pass_yields_them_to_the_last_bit(
        self, tmp_path: Path, paths: list[str], read: Counter[str], backbone: Any
    ) -> None:
        alone = source_in(tmp_path / "a", backbone).features(paths)
        read.clear()
        together = source_in(tmp_path / "b", backbone)
        together.maps(paths, [2])
        found = together.features(paths)
        assert found.cache_hit
        assert set(read.values()) == {1}
        assert found.path.relative_to(tmp_path / "b") == alone.path.relative_to(tmp_path / "a")
        for block, values in alone.blocks.items():
            np.testing.assert_array_equal(found.blocks[block], values)

    def test_so_it_is_by_openvino_but_for_rounding(self, tmp_path: Path, paths: list[str]) -> None:
        pytest.importorskip("openvino")
        runtime = OpenVinoRuntime()
        alone = source_in(tmp_path / "a", NETWORK, runtime=runtime).features(paths)
        together = source_in(tmp_path / "b", NETWORK, runtime=runtime)
        together.maps(paths, [1, 2])
        for block, values in alone.blocks.items():
            np.testing.assert_allclose(
                together.features(paths).blocks[block], values, rtol=1e-6, atol=1e-6
            )

    def test_those_that_are_there_are_left_alone(self, tmp_path: Path, paths: list[str]) -> None:
        source = source_in(tmp_path / "c")
        path = source.features(paths).path
        before = path.stat().st_mtime_ns
        source.maps(paths, [1])
        assert path.stat().st_mtime_ns == before

    def test_with_keep_they_bring_maps_along(
        self, tmp_path: Path, paths: list[str], read: Counter[str]
    ) -> None:
        source = source_in(tmp_path / "c", storage=MapStorage(keep=[1, 2]))
        first = source.features(paths)
        assert source.maps(paths, [1, 2]).cache_hit
        assert source.features(paths).cache_hit
        assert not first.cache_hit
        assert first.seconds_extract > 0
        assert set(read.values()) == {1}
        assert "maps-of-block-0" not in entries(tmp_path / "c")

    def test_with_keep_maps_bring_along_what_a_later_run_needs(
        self, tmp_path: Path, paths: list[str], read: Counter[str]
    ) -> None:
        source = source_in(tmp_path / "c", storage=MapStorage(keep=[0, 2]))
        source.maps(paths, [1])
        source.maps(paths, [0, 2])
        source.features(paths)
        assert set(read.values()) == {1}


class TestPrecision:
    def test_half_takes_half_the_room_and_rounds(
        self, tmp_path: Path, paths: list[str], images: list[NDArray[np.uint8]]
    ) -> None:
        source = source_in(tmp_path / "c", storage=MapStorage(precision="float16"))
        found = taken(source, paths, 1)[1]
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, plain(images)[1].astype(np.float16))

    def test_each_has_its_own_entry(self, tmp_path: Path, paths: list[str]) -> None:
        found = [
            source_in(tmp_path / "c", storage=MapStorage(precision=own)).maps(paths, [1]).path
            for own in ("float32", "float16")
        ]
        assert found[0].parent != found[1].parent

    def test_what_half_cannot_hold_is_refused(self) -> None:
        values = np.full((1, 1, 1, 1), 1e6, np.float32)
        with pytest.raises(UserError, match=r"block 3 .* use maps\.precision=float32"):
            MapStorage(precision="float16").rounded(values, 3)
        with pytest.raises(UserError, match="check the weights"):
            MapStorage().rounded(values * np.nan, 3)


class TestRoom:
    def test_the_size_is_told_before_anything_is_written(
        self, tmp_path: Path, paths: list[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        source_in(tmp_path / "c").maps(paths, [1, 2])
        size = 4 * 18 * (32**2 + 16**2) * COUNT / 1e9
        told = f"maps of blocks 1,2 of {COUNT} images take {size:.3g} GB"
        assert any(told in record.message for record in caplog.records)

    def test_more_than_the_limit_is_refused_and_nothing_is_written(
        self, tmp_path: Path, paths: list[str]
    ) -> None:
        source = source_in(tmp_path / "c", storage=MapStorage(limit=0.0001))
        with pytest.raises(UserError, match=r"GB, more than maps.limit=0.0001: raise it"):
            source.maps(paths, [1])
        assert not list((tmp_path / "c").rglob("shard-*"))

    def test_more_than_the_disk_has_is_refused(
        self, tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = maps.shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(maps.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(UserError, match="has 1e-06 GB free: make room"):
            source_in(tmp_path / "c").maps(paths, [1])

    @pytest.mark.parametrize(
        ("values", "message"),
        [({"precision": "bfloat16"}, "maps.precision"), ({"limit": 0}, "maps.limit")],
    )
    def test_a_wrong_setting_is_refused(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            MapStorage(**values)


class TestDamage:
    def test_a_killed_extraction_goes_on_where_it_stopped(
        self, tmp_path: Path, paths: list[str], images: list[NDArray[np.uint8]],
        read: Counter[str],
    ) -> None:  # fmt: skip
        source = source_in(tmp_path / "c")
        source.features(paths)  # so that maps alone are extracted
        read.clear()

        class Killed(BaseException):
            pass

        def extract(*arguments: Any) -> Iterator[Any]:
            for number, batch in enumerate(extraction.extract(*arguments)):
                if number == 3:
                    raise Killed
                yield batch

        dying = replace(source, extraction=type("Dying", (), {"extract": staticmethod(extract)})())
        with pytest.raises(Killed):
            dying.maps(paths, [1, 2])
        read.clear()
        found = taken(source, paths, 1, 2)
        assert sorted(read) == [f"{number:02}.png" for number in range(8, COUNT)]
        for block in (1, 2):
            np.testing.assert_array_equal(found[block], plain(images)[block])

    def test_a_damaged_shard_is_noticed_and_extracted_again(
        self, tmp_path: Path, paths: list[str], images: list[NDArray[np.uint8]],
        read: Counter[str], caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        source = source_in(tmp_path / "c")
        folder = source.maps(paths, [1]).path
        read.clear()
        shard = shards.shard_files(folder)[1]
        content = bytearray(shard.read_bytes())
        content[-5] ^= 4
        shard.write_bytes(content)
        found = taken(source, paths, 1)[1]
        assert "is damaged" in caplog.text
        assert sorted(read) == [f"{number:02}.png" for number in range(8, 16)]
        np.testing.assert_array_equal(found, plain(images)[1])

    def test_maps_that_are_removed_while_they_are_read_are_one_line(
        self, tmp_path: Path, paths: list[str]
    ) -> None:
        obtained = source_in(tmp_path / "c").maps(paths, [1])
        for path in obtained.path.iterdir():
            path.unlink()
        with pytest.raises(UserError, match="was removed while it was read"):
            obtained.blocks[1].take(np.arange(1))


def test_the_tool_lists_verifies_and_prunes_them(
    tmp_path: Path, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from gad_bench.cache import main

    folder = source_in(tmp_path / "c").maps(paths, [1, 2]).path
    place = ["--cache-dir", str(tmp_path / "c")]
    assert main(["list", *place]) == 0
    listed = capsys.readouterr().out
    assert "maps of block 1" in listed
    assert listed.count("complete") == 3
    shard = shards.shard_files(folder)[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    assert main(["verify", *place]) == 1
    assert f"damaged: {shard}" in capsys.readouterr().out
    assert main(["prune", *place, "--max-size", "0"]) == 0
    assert not list(tmp_path.rglob("shard-*"))


def test_a_backbone_without_maps_is_one_line(tmp_path: Path, paths: list[str]) -> None:
    class Mapless:
        name = "mapless"
        facts, block_count, image_size, build = BANK.facts, BANK.block_count, BANK.image_size, None

    with pytest.raises(UserError, match="backbone mapless has no maps"):
        source_in(tmp_path / "c", Mapless()).maps(paths, [1])


def test_a_network_that_gives_both_is_built_once() -> None:
    module = MapsBackbone(backbone=NETWORK, blocks=[1], vectors=3).build(2)
    count = sum(parameter.numel() for parameter in NETWORK.build(2).parameters())
    assert sum(parameter.numel() for parameter in module.parameters()) == count
