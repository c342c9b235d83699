from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from gad_bench.base.errors import UserError
from gad_bench.data.catalog import CategoryFacts, ImageRow, Subset, category_facts, make_catalog

SHARED = {
    "kind": "object",
    "horizontal_flip": True,
    "quarter_turns": False,
    "rotation_limit": 45,
    "shift_limit": 0.05,
    "scale_limits": [-0.05, 0.1],
    "smallest_defect": None,
}


def row(path: str, split: Subset = "train", label: int = 0, mask: str = "") -> ImageRow:
    return ImageRow(path, "nut", split, label, "crack" if label else "good", mask)


SOUND = [row("a"), row("b", "test"), row("c", "test", 1)]


def test_training_images_come_first_and_each_part_is_sorted() -> None:
    rows = [row("z", "test", 1), row("y"), row("c", "test"), row("b")]
    catalog = make_catalog(rows, "nut")
    assert list(catalog["path"]) == ["b", "y", "c", "z"]
    assert list(catalog["split"]) == ["train", "train", "test", "test"]
    assert list(catalog.index) == [0, 1, 2, 3]
    assert list(catalog.columns) == ["path", "category", "split", "label", "defect", "mask"]


def test_there_must_be_images_to_train_on() -> None:
    with pytest.raises(UserError, match="nut has no training images"):
        make_catalog(SOUND[1:], "nut")


@pytest.mark.parametrize("rows", [SOUND[:1], SOUND[:2], SOUND[::2]])
def test_test_images_of_either_kind_may_lack(rows: list[ImageRow]) -> None:
    assert len(make_catalog(rows, "nut")) == len(rows)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_anomalous_image_to_learn_from_is_refused(split: Subset) -> None:
    with pytest.raises(UserError, match="nut: only test images may be anomalous, not d"):
        make_catalog([*SOUND, row("d", split, 1)], "nut")


def picture(path: Path, width: int, height: int, orientation: int = 1) -> str:
    image = Image.fromarray(np.zeros((height, width, 3), np.uint8))
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(path, exif=exif)
    return str(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_mask_fits_the_image_as_it_was_held(suffix: str, tmp_path: Path) -> None:
    image = picture(tmp_path / f"image.{suffix}", 8, 6, orientation=6)
    upright = picture(tmp_path / "upright.png", 6, 8)
    unturned = picture(tmp_path / "unturned.png", 8, 6)
    make_catalog([*SOUND, row(image, "test", 1, upright)], "nut")
    with pytest.raises(UserError, match=r"unturned\.png is 8 x 6 pixels, its image 6 x 8"):
        make_catalog([*SOUND, row(image, "test", 1, unturned)], "nut")


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    image, mask = picture(tmp_path / "image.png", 8, 6), tmp_path / "mask.png"
    mask.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"mask\.png cannot be read as an image"):
        make_catalog([*SOUND, row(image, "test", 1, str(mask))], "nut")


def test_a_categorys_own_facts_come_before_the_shared_ones() -> None:
    facts = category_facts("nut", SHARED, {"nut": {"rotation_limit": 15}, "bolt": {}})
    assert facts == CategoryFacts(
        kind="object",
        horizontal_flip=True,
        quarter_turns=False,
        rotation_limit=15.0,
        shift_limit=0.05,
        scale_limits=(-0.05, 0.1),
        smallest_defect=None,
    )


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            {"rotaton_limit": 15},
            "facts of category nut: Key 'rotaton_limit' not in 'CategoryFacts'",
        ),
        ({"rotation_limit": "much"}, "facts of category nut: Value 'much' .* Float"),
        ({"kind": "liquid"}, "kind must be texture or object, not liquid"),
        ({"scale_limits": [0.1, -0.1]}, "scale_limits must be .* not 0.1, -0.1"),
        ({"scale_limits": [-1, 0]}, "scale_limits must be .* not -1.0, 0.0"),
    ],
)
def test_wrong_facts_are_refused(own: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        category_facts("nut", SHARED, {"nut": own})


def test_missing_facts_are_refused() -> None:
    with pytest.raises(UserError, match=r"facts of category nut: .*quarter_turns"):
        category_facts("nut", {key: SHARED[key] for key in SHARED if key != "quarter_turns"}, {})
