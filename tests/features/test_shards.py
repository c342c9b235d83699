from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gad_bench.features.shards import (
    is_intact,
    read_about,
    read_shard,
    remove_unfinished,
    shard_files,
    shard_rows,
    write_shard,
)

BLOCKS = [
    np.random.default_rng(0).normal(size=(5, width)).astype(np.float32) for width in (3, 1, 40)
]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return write_shard(tmp_path, 7, BLOCKS, {"category": "bottle"})


@pytest.mark.parametrize("count", [0, 1, 64, 65, 3629, 100_000, 10_000_000])
def test_the_rows_of_the_shards_are_all_rows_once_in_order(count: int) -> None:
    rows = shard_rows(count)
    assert [part.start for part in rows] == [0, *(part.stop for part in rows)][: len(rows)]
    assert sum(len(part) for part in rows) == count
    assert len(rows) <= 1024


def test_a_shard_is_plain_safetensors(shard: Path) -> None:
    found = load_file(shard)
    for block, values in enumerate(BLOCKS):
        np.testing.assert_array_equal(found[f"block_{block}"], values)


def test_some_blocks_are_read(shard: Path) -> None:
    third, first = read_shard(shard, [2, 0])
    np.testing.assert_array_equal(third, BLOCKS[2])
    np.testing.assert_array_equal(first, BLOCKS[0])


def test_a_part_of_a_larger_array_is_written_as_it_stands(tmp_path: Path) -> None:
    path = write_shard(tmp_path, 0, [BLOCKS[2][1::2, ::-1]], {})
    np.testing.assert_array_equal(read_shard(path, [0])[0], BLOCKS[2][1::2, ::-1])


def test_its_name_tells_its_number_and_the_digest_of_its_content(shard: Path) -> None:
    digest = hashlib.sha256(shard.read_bytes()).hexdigest()
    assert shard.name == f"shard-00007-{digest[:32]}.safetensors"
    assert shard_files(shard.parent) == {7: shard}


def test_it_tells_people_what_it_is(shard: Path) -> None:
    assert read_about(shard) == {"category": "bottle"}


def test_any_flipped_bit_is_found(shard: Path) -> None:
    content = shard.read_bytes()
    assert is_intact(shard)
    for offset in range(len(content)):
        damaged = bytearray(content)
        damaged[offset] ^= 1 << offset % 8
        shard.write_bytes(damaged)
        assert not is_intact(shard)


def test_a_file_that_is_gone_is_not_intact(shard: Path) -> None:
    shard.unlink()
    assert not is_intact(shard)


def test_only_what_is_unfinished_is_removed(shard: Path) -> None:
    (shard.parent / ".tmp-abc.safetensors").write_bytes(b"half a shard")
    (shard.parent / "notes.txt").write_text("mine")
    remove_unfinished(shard.parent)
    assert {path.name for path in shard.parent.iterdir()} == {shard.name, "notes.txt"}
