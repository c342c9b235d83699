from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import register
from gad_bench.data.layouts import MVTecLayout, mvtec_rows

Tree = Callable[..., Path]

BOTTLE = (
    "bottle/train/good/001.png",
    "bottle/train/good/000.png",
    "bottle/test/good/000.png",
    "bottle/test/crack/000.png",
    "bottle/test/crack/001.png",
    "bottle/test/dent/000.png",
    "bottle/ground_truth/crack/000_mask.png",
    "bottle/ground_truth/crack/001_mask.png",
    "bottle/ground_truth/dent/000_mask.png",
)


def mvtec_ad(*overrides: str) -> MVTecLayout:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        dataset: Any = compose("config", overrides=list(overrides)).dataset
    return instantiate(dataset, _convert_="object")


def test_labels_defects_and_masks_come_from_the_folders(tree: Tree) -> None:
    root = tree(*BOTTLE)
    catalog = mvtec_ad(f"dataset.root={root}").catalog("bottle")
    read = [
        (Path(row.path).relative_to(root).as_posix(), row.split, row.label, row.defect, row.mask)
        for row in catalog.itertuples()
    ]
    masks = root / "bottle/ground_truth"
    assert read == [
        ("bottle/train/good/000.png", "train", 0, "good", ""),
        ("bottle/train/good/001.png", "train", 0, "good", ""),
        ("bottle/test/crack/000.png", "test", 1, "crack", str(masks / "crack/000_mask.png")),
        ("bottle/test/crack/001.png", "test", 1, "crack", str(masks / "crack/001_mask.png")),
        ("bottle/test/dent/000.png", "test", 1, "dent", str(masks / "dent/000_mask.png")),
        ("bottle/test/good/000.png", "test", 0, "good", ""),
    ]
    assert set(catalog["category"]) == {"bottle"}


def test_the_root_comes_from_the_environment(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MVTECPATH", str(tree(*BOTTLE)))
    assert len(mvtec_ad().catalog("bottle")) == 6


def test_a_mask_may_be_named_as_its_image(tree: Tree) -> None:
    root = tree("c/train/good/0.png", "c/test/bad/0.jpg", "c/ground_truth/bad/0.png")
    mask = [row.mask for row in mvtec_rows(root / "c", "c")]
    assert mask == ["", str(root / "c/ground_truth/bad/0.png")]


def test_an_image_may_have_no_mask(tree: Tree) -> None:
    root = tree("c/train/good/0.png", "c/test/bad/0.png", "c/test/bad/1.png")
    tree("c/ground_truth/bad/1_mask.png")
    masks = [row.mask for row in mvtec_rows(root / "c", "c")]
    assert masks == ["", "", str(root / "c/ground_truth/bad/1_mask.png")]


def test_hidden_and_other_files_are_passed_over(tree: Tree) -> None:
    root = tree(*BOTTLE, "bottle/train/good/._000.png", "bottle/test/.cache/0.png")
    (root / "bottle/train/good/Thumbs.db").touch()
    (root / "bottle/test/readme.txt").touch()
    assert len(mvtec_ad(f"dataset.root={root}").catalog("bottle")) == 6


def test_a_mask_of_another_size_is_named(tree: Tree) -> None:
    root = tree(*BOTTLE)
    tree("bottle/ground_truth/dent/000_mask.png", size=(5, 5))
    message = r"dent/000_mask\.png is 5 x 5 pixels, its image 8 x 6"
    with pytest.raises(UserError, match=message):
        mvtec_ad(f"dataset.root={root}").catalog("bottle")


def test_masks_that_belong_to_no_image_are_refused(tree: Tree) -> None:
    root = tree(*BOTTLE[:4], "bottle/ground_truth/crack/defect-0.png")
    message = r"no mask in .*ground_truth/crack belongs to an image: name them STEM_mask\.png"
    with pytest.raises(UserError, match=message):
        mvtec_ad(f"dataset.root={root}").catalog("bottle")


def test_an_empty_train_folder_is_named(tree: Tree) -> None:
    root = tree(*BOTTLE[2:])
    (root / "bottle/train/good").mkdir(parents=True)
    with pytest.raises(UserError, match=r"bottle/train/good holds no images: it must hold \.bmp"):
        mvtec_ad(f"dataset.root={root}").catalog("bottle")


def test_a_missing_train_folder_is_named(tree: Tree) -> None:
    with pytest.raises(UserError, match=r"bottle/train/good does not exist"):
        mvtec_ad(f"dataset.root={tree(*BOTTLE[2:])}").catalog("bottle")


def test_a_missing_test_folder_is_named(tree: Tree) -> None:
    with pytest.raises(UserError, match=r"bottle/test must hold good/ and a folder for each kind"):
        mvtec_ad(f"dataset.root={tree(*BOTTLE[:2])}").catalog("bottle")


def test_test_images_may_all_be_good(tree: Tree) -> None:
    catalog = mvtec_ad(f"dataset.root={tree(*BOTTLE[:3])}").catalog("bottle")
    assert set(catalog["label"]) == {0}


def test_a_category_that_is_not_there_says_where_the_data_are_to_be_had(tree: Tree) -> None:
    message = r"mvtec_ad: there is no folder .*/cable: set MVTECPATH or .*www\.mvtec\.com"
    with pytest.raises(UserError, match=message):
        mvtec_ad(f"dataset.root={tree(*BOTTLE)}").catalog("cable")


def test_a_missing_root_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MVTECPATH", raising=False)
    with pytest.raises(UserError, match=r"mvtec_ad has no root: set MVTECPATH or dataset\.root"):
        mvtec_ad().catalog("bottle")
    with pytest.raises(UserError, match=r"mvtec_ad: there is no folder /nowhere: set MVTECPATH"):
        mvtec_ad("dataset.root=/nowhere").catalog("bottle")


def test_an_unknown_category_lists_the_known_ones() -> None:
    message = "mvtec_ad has no category 'botle': choose from bottle, cable, .*, zipper"
    for ask in (mvtec_ad().catalog, mvtec_ad().facts):
        with pytest.raises(UserError, match=message):
            ask("botle")


# The augmentation that Rippel et al. allow each category, as their code has it.
NOT_FLIPPED = {"metal_nut", "pill", "capsule", "screw"}
NOT_TURNED = {"transistor"}
LITTLE_ROTATED = {"bottle", "cable", "capsule", "metal_nut", "pill", "screw", "toothbrush"}
LITTLE_ROTATED |= {"transistor", "wood", "zipper"}
TEXTURES = {"carpet", "grid", "leather", "tile", "wood"}


@pytest.mark.parametrize("category", mvtec_ad().category_names())
def test_the_facts_are_the_papers(category: str) -> None:
    facts = mvtec_ad().facts(category)
    is_grid = category == "grid"
    assert facts.kind == ("texture" if category in TEXTURES else "object")
    assert facts.horizontal_flip == (category not in NOT_FLIPPED)
    assert facts.quarter_turns == (category not in NOT_TURNED)
    assert facts.rotation_limit == (0 if is_grid else 15 if category in LITTLE_ROTATED else 45)
    assert facts.shift_limit == (0 if is_grid else 0.05)
    assert facts.scale_limits == ((-0.05, 0) if is_grid else (-0.05, 0.1))
    assert facts.smallest_defect is not None


def test_there_are_fifteen_categories() -> None:
    assert len(mvtec_ad().category_names()) == 15
