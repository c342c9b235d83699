from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import register
from gad_bench.data.demo import dataset as demo_module
from gad_bench.data.demo.dataset import Demo
from gad_bench.data.demo.photograph import photograph_defective, photograph_good
from gad_bench.data.demo.products import PRODUCTS
from gad_bench.data.images import read_image, read_mask

DEFECTS = [(category, flaw) for category, product in PRODUCTS.items() for flaw in product.flaws]


def demo(root: Path, **values: int) -> Demo:
    """The demo as configured, but with few pictures."""
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        node: Any = compose("config", overrides=["dataset=demo", f"dataset.root={root}"]).dataset
    whole: Demo = instantiate(node, _convert_="object")
    return replace(whole, **{"train": 2, "test_good": 1, "test_defective": 1} | values)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.png")
    }


def test_there_are_textures_and_objects_with_several_kinds_of_defect_each() -> None:
    data = demo(Path("/nowhere"))
    assert data.category_names() == list(PRODUCTS)
    assert len(PRODUCTS) >= 3
    assert {data.facts(name).kind for name in PRODUCTS} == {"texture", "object"}
    assert min(len(product.flaws) for product in PRODUCTS.values()) >= 3


@pytest.mark.parametrize("category", PRODUCTS)
def test_a_category_is_drawn_in_mvtec_layout_with_a_mask_for_each_defect(
    category: str, tmp_path: Path
) -> None:
    catalog = demo(tmp_path).catalog(category)
    flaws = sorted(PRODUCTS[category].flaws)
    assert list(catalog["split"]) == ["train"] * 2 + ["test"] * (len(flaws) + 1)
    anomalous = catalog[catalog["label"] == 1]
    assert sorted(anomalous["defect"]) == flaws
    for row in anomalous.itertuples():
        mask = read_mask(row.mask, read_image(row.path).shape[:2])
        assert 20 <= mask.sum() < mask.size / 4


def test_a_seed_gives_the_same_bytes_every_time_and_another_seed_others(tmp_path: Path) -> None:
    for folder, seed in (("first", 0), ("again", 0), ("other", 1)):
        demo(tmp_path / folder, seed=seed).catalog("hex_nut")
    first, again, other = (digests(tmp_path / name) for name in ("first", "again", "other"))
    assert list(first.values()) == list(again.values())
    assert not set(first.values()) & set(other.values())


def test_no_two_pictures_are_alike(tmp_path: Path) -> None:
    demo(tmp_path, train=4, test_good=2).catalog("wood")
    pictures = digests(tmp_path)
    assert len(set(pictures.values())) == len(pictures)


def test_a_piece_is_the_same_however_many_others_are_drawn(tmp_path: Path) -> None:
    few, more = demo(tmp_path).catalog("wood"), demo(tmp_path, train=3).catalog("wood")
    first_few, first_more = (read_image(catalog["path"].iloc[1]) for catalog in (few, more))
    np.testing.assert_array_equal(first_few, first_more)


@pytest.mark.parametrize(("category", "flaw"), DEFECTS)
def test_a_defective_piece_is_the_good_one_outside_of_its_mask(category: str, flaw: str) -> None:
    good = photograph_good(category, seed=0, number=5)
    defective, mask = photograph_defective(category, seed=0, number=5, defect=flaw)
    differs = (good != defective).any(axis=2)
    assert not differs[mask == 0].any()
    assert differs[mask > 0].mean() > 0.3
    assert set(np.unique(mask)) == {0, 255}


@pytest.mark.parametrize("category", PRODUCTS)
def test_good_pieces_vary(category: str) -> None:
    pieces = [photograph_good(category, 0, number).astype(float) for number in range(4)]
    differences = [np.abs(piece - pieces[0]).mean() for piece in pieces[1:]]
    assert min(differences) > 2


def test_what_is_there_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = demo(tmp_path).catalog("wood")
    monkeypatch.setattr(Demo, "_draw", None)
    assert demo(tmp_path).catalog("wood").equals(first)


def test_an_interrupted_drawing_leaves_nothing_and_is_done_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(demo_module, "photograph_defective", interrupt)
        with pytest.raises(KeyboardInterrupt):
            demo(tmp_path).catalog("wood")
    assert digests(tmp_path) == {}
    assert len(demo(tmp_path).catalog("wood")) == 7


def _draw(root: Path) -> list[int]:
    paths = demo(root).catalog("wood")["path"]
    return [Path(path).stat().st_ino for path in paths]


def test_a_category_is_drawn_once_by_several_processes_at_a_time(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        drawn = list(pool.map(_draw, [tmp_path] * 4))
    assert drawn[1:] == drawn[:-1]


def test_an_unknown_category_lists_the_known_ones(tmp_path: Path) -> None:
    message = "data set demo has no category 'bottle': choose from fabric, wood, hex_nut"
    for ask in (demo(tmp_path).catalog, demo(tmp_path).facts):
        with pytest.raises(UserError, match=message):
            ask("bottle")


@pytest.mark.parametrize("key", ["train", "test_good", "test_defective"])
def test_a_part_without_images_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"dataset\.{key} must be at least 1, not 0"):
        demo(tmp_path, **{key: 0})


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.seed must be at least 0, not -1"):
        demo(tmp_path, seed=-1)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"demo's images cannot be written to .*set cache_dir=PATH"):
        demo(tmp_path / "file").catalog("wood")


def test_what_a_killed_process_left_of_a_category_goes_when_it_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_module.shutil, "rmtree", lambda *_, **__: None)  # as after kill -9
    monkeypatch.setattr(demo_module, "photograph_defective", die)
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path).catalog("wood")
    monkeypatch.undo()
    (left,) = [path for path in tmp_path.glob("*/*") if path.is_dir()]
    (left / "stale.png").touch()
    catalog = demo(tmp_path).catalog("wood")
    assert [path.name for path in tmp_path.glob("*/*") if path.is_dir()] == ["wood"]
    assert not list(tmp_path.rglob("stale.png"))
    assert len(catalog) == 2 + 1 + len(PRODUCTS["wood"].flaws)
