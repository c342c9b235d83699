"""Damaged and hostile detectors: each is loaded as what its files say, or refused in one line."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import Program
from safetensors.numpy import load_file, save_file
from saved import DEMO, Saved

from gad_bench import Detector
from gad_bench.base.errors import UserError
from gad_bench.base.files import sha256_of
from gad_bench.config import build, compose_config
from gad_bench.deploy.format import ARRAYS, CONFIG, FACTS, SUMS, encode

FILES = (FACTS, ARRAYS, CONFIG)
ATTACKS = 150
HOSTILE = [
    *(None, True, False, 0, -1, 1, 0.5, -0.5, 3, 10**9, 2**31, 2**63, 10**400, 1e308, 1e-320),
    *("", "a", "../x", "\x00", "ü" * 5000, [], [[]], [0], ["a"], {}, {"a": 1}, {"class": 3}),
    *({"array": "none"}, {"array": 3}, {"map": 3}, {"map": [[1]]}, {"map": [[[], 1]]}),
    *({"class": "os.system"}, {"class": "gad_bench.gaussian.combination.Mean"}),
    *({"class": "gad_bench.data.split.KFold", "n_splits": 2}, {"class": "gad_bench.cache.main"}),
]
Attack = Callable[[Path, random.Random], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A small detector with all that one may hold."""
    return Saved(
        tmp_path_factory.mktemp("whole"),
        shared_cache,
        *("tracking=none", "fold=kfold", "fold.n_splits=2", "threshold.fpr=0.1", "reduction=pca"),
        *("backbone.input_size=64", "backbone.octaves=2", "combination=standardised_mean"),
        *("localisation=mahalanobis", "localisation.grid=8", "localisation.blocks=[0,1]"),
    ).folder


def truncate(folder: Path, chance: random.Random) -> None:
    path = folder / chance.choice((*FILES, SUMS))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * chance.random())])
    if chance.random() < 0.5 and path.name != SUMS:
        make_right(folder)


def flip_bits(folder: Path, chance: random.Random) -> None:
    path = folder / chance.choice((FACTS, ARRAYS))
    content = bytearray(path.read_bytes())
    end = min(len(content), chance.choice((400, len(content))))
    for _ in range(chance.choice((1, 8))):
        content[chance.randrange(end)] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    make_right(folder)


def remove(folder: Path, chance: random.Random) -> None:
    path = folder / chance.choice((*FILES, SUMS))
    path.unlink()
    if chance.random() < 0.5:
        path.mkdir()


def edit_facts(folder: Path, chance: random.Random) -> None:
    facts = json.loads((folder / FACTS).read_text())
    parent, key = chance.choice(list(places(facts)))
    match chance.choice(("replace", "replace", "replace", "delete", "add", "swap", "nest")):
        case "replace":
            parent[key] = chance.choice(HOSTILE)
        case "delete":
            del parent[key]
        case "add" if isinstance(parent, dict):
            parent["more"] = 1
        case "swap":
            other, place = chance.choice(list(places(facts)))
            parent[key] = json.loads(json.dumps(other[place]))
        case _:
            parent[key] = "NEST"
    depth = chance.choice((50, 100_000))
    text = json.dumps(facts).replace('"NEST"', "[" * depth + "]" * depth)
    number = chance.choice(("NaN", "-Infinity", "1e999", "1" * 5000))
    if chance.random() < 0.1:
        text = re.sub(r"\d+\.\d+", number, text, count=chance.randrange(1, 4))
    (folder / FACTS).write_text(text)
    make_right(folder)


def edit_arrays(folder: Path, chance: random.Random) -> None:
    arrays = load_file(folder / ARRAYS)
    name = chance.choice(sorted(arrays))
    array = arrays[name].copy()
    flat = array.reshape(-1)
    match chance.randrange(9):
        case 0:
            array = array.astype(chance.choice((np.int8, np.float32, np.bool_, np.uint64)))
        case 1:
            array = array[:-1]
        case 2:
            array = np.ascontiguousarray(array.T) if array.ndim > 1 else array[None]
        case 3:
            array = array[:0]
        case 4:
            flat[chance.randrange(flat.size)] = chance.choice((np.nan, np.inf, -np.inf))
        case 5:
            flat[:] = chance.choice((-1, 0, 1))
        case 6:
            array = -array
        case 7:
            arrays["more"] = array
        case _:
            array = np.concatenate([array, array])
    if chance.random() < 0.1:
        del arrays[name]
    else:
        arrays[name] = array
    save_file(arrays, folder / ARRAYS)
    make_right(folder)


def edit_header(folder: Path, chance: random.Random) -> None:
    content = (folder / ARRAYS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    name = chance.choice([key for key in header if key != "__metadata__"])
    key = chance.choice(("dtype", "shape", "data_offsets"))
    header[name][key] = chance.choice(
        ["I8", "BF16", "F8_E4M3", "X", [-1], [2**62, 4], [0, 0], [10, 2], 3, None, [2**70]]
    )
    text = json.dumps(header).encode()
    (folder / ARRAYS).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    make_right(folder)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from places(node[key])


def make_right(folder: Path) -> None:
    """Write the checksums of what the folder holds by now."""
    sums = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in FILES)
    (folder / SUMS).write_text(sums)


ALL: tuple[Attack, ...] = (
    *(truncate, flip_bits, remove, edit_facts, edit_facts, edit_facts),
    *(edit_arrays, edit_arrays, edit_header),
)


@pytest.mark.parametrize("seed", range(ATTACKS))
def test_a_hostile_detector_is_what_its_files_say_or_is_refused(
    whole: Path, tmp_path: Path, seed: int
) -> None:
    folder = tmp_path / "detector"
    shutil.copytree(whole, folder)
    chance = random.Random(seed)
    ALL[seed % len(ALL)](folder, chance)
    detector, refusal = load(folder)
    if detector is None:
        assert "\n" not in refusal
        assert str(folder) in refusal
        return
    arrays: dict[str, Any] = {}
    node = json.loads(json.dumps(encode(detector.scorer, "scorer", arrays)))
    assert node == json.loads((folder / FACTS).read_text())["scorer"]
    stored = load_file(folder / ARRAYS)
    assert arrays.keys() == stored.keys()
    assert all(np.array_equal(stored[name], array) for name, array in arrays.items())
    assert scores_or_refuses(detector)


def load(folder: Path) -> tuple[Detector | None, str]:
    """Return the detector, or what is said in refusing it."""
    try:
        return Detector.load(folder), ""
    except UserError as refusal:
        return None, str(refusal)


def scores_or_refuses(detector: Detector) -> bool:
    """Score random features of the fitted widths; no other error than the user's is to be had."""
    blocks = detector.scorer.model.blocks.items()
    features = {block: np.random.default_rng(0).random((3, own.width)) for block, own in blocks}
    with contextlib.suppress(UserError):
        return len(detector.scorer.model.score(features)[1]) == 3
    return True


def test_the_detector_itself_is_loaded(whole: Path) -> None:
    assert scores_or_refuses(Detector.load(whole))
    assert Detector.load(whole).scorer.localisation is not None


@pytest.mark.parametrize("name", [FACTS, ARRAYS, CONFIG, SUMS])
def test_what_is_missing_is_named(whole: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "detector"
    shutil.copytree(whole, folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match=re.escape(name)):
        Detector.load(folder)


def test_another_config_is_noticed(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "detector"
    shutil.copytree(whole, folder)
    text = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(text.replace("seed: 0", "seed: 1"))
    with pytest.raises(UserError, match=r"config\.yaml is damaged, its checksum differs"):
        Detector.load(folder)


def test_a_threshold_that_is_no_number_is_refused(whole: Path) -> None:
    with pytest.raises(UserError, match="threshold=nan is no number"):
        Detector.load(whole).predict(np.zeros((8, 8, 3), np.uint8), threshold=float("nan"))


def test_a_score_that_is_not_finite_is_refused_and_not_called_good(
    whole: Path, tmp_path: Path
) -> None:
    """Nor where a threshold alone decides; a p-value of such a score is refused in any case."""
    folder = tmp_path / "detector"
    shutil.copytree(whole, folder)
    arrays = load_file(folder / ARRAYS)
    for name, array in arrays.items():
        if name.endswith(".mean"):
            array[:] = np.finfo(array.dtype).max
    save_file(arrays, folder / ARRAYS)
    facts = json.loads((folder / FACTS).read_text())
    facts["scorer"]["rule"] |= {"calibration": None, "method": "gaussian", "threshold": 1.0}
    (folder / FACTS).write_text(json.dumps(facts))
    drop_unused(folder)
    make_right(folder)
    with pytest.raises(UserError, match="scores of 1 of 1 images are not finite"):
        Detector.load(folder).predict(np.zeros((8, 8, 3), np.uint8), heat_maps=False)


def drop_unused(folder: Path) -> None:
    """Remove the arrays that the JSON does not name."""
    text = (folder / FACTS).read_text()
    arrays = load_file(folder / ARRAYS)
    save_file(
        {name: array for name, array in arrays.items() if f'"{name}"' in text}, folder / ARRAYS
    )


def test_so_is_a_rate_that_is_none() -> None:
    config = compose_config(["dataset=demo", "threshold.fpr=nan"])
    with pytest.raises(UserError, match="fpr must lie in"):
        build(config.threshold)


def test_the_same_run_accepts_the_detector_that_it_has_saved(program: Program) -> None:
    """As after a kill between the detector and the record."""
    small = ["backbone.input_size=64", "backbone.octaves=1", "tracking=none", "figures=false"]
    run = [*DEMO, *small, "fold=full", "save=it"]
    program(*run)
    before = {path.name: path.read_bytes() for path in Path("it").iterdir()}
    again = program(*run)
    assert again.status == 0, again.errors
    assert "it holds this run's detector already" in again.output
    assert {path.name: path.read_bytes() for path in Path("it").iterdir()} == before
    other = program(*run, "covariance=diagonal")
    assert other.status == 2
    assert "save=it holds another run's detector" in other.errors
