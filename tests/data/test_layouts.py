"""Each published data set, as its own archive is laid out, in small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import register
from gad_bench.data.catalog import Dataset
from gad_bench.data.images import read_image, read_mask

Tree = Callable[..., Path]
Found = tuple[str, str, str, str]  # path, split, defect, mask


def dataset(name: str, root: Path | str, *overrides: str) -> Dataset:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        choices = [f"dataset={name}", f"dataset.root={root}", *overrides]
        node: Any = compose("config", overrides=choices).dataset
    return instantiate(node, _convert_="object")


def found(data: Dataset, category: str, root: Path) -> list[Found]:
    catalog = data.catalog(category)
    assert set(catalog["category"]) == {category}
    assert list(catalog["label"]) == [int(defect != "good") for defect in catalog["defect"]]
    rows = catalog[["path", "split", "defect", "mask"]].itertuples(index=False, name=None)
    return [
        (
            str(Path(path).relative_to(root)),
            split,
            defect,
            mask and str(Path(mask).relative_to(root)),
        )
        for path, split, defect, mask in rows
    ]


class Layout(NamedTuple):
    """A category of a data set: what its catalog holds, and what else lies about."""

    dataset: str
    category: str
    expected: list[Found]
    others: Sequence[str] = ()
    texts: Mapping[str, str] = MappingProxyType({})


LAYOUTS = [
    Layout(
        "mpdd",
        "tubes",
        [
            ("tubes/train/good/000.png", "train", "good", ""),
            (
                "tubes/test/anomalous/000.png",
                "test",
                "anomalous",
                "tubes/ground_truth/anomalous/000_mask.png",
            ),
            ("tubes/test/good/000.png", "test", "good", ""),
        ],
    ),
    Layout(
        "btad",
        "01",
        [
            ("01/train/ok/0000.bmp", "train", "good", ""),
            ("01/test/ko/0000.bmp", "test", "ko", "01/ground_truth/ko/0000.png"),
            ("01/test/ok/0001.bmp", "test", "good", ""),
        ],
    ),
    Layout(
        "mvtec_loco",
        "pushpins",
        [
            ("pushpins/train/good/000.png", "train", "good", ""),
            ("pushpins/validation/good/000.png", "validation", "good", ""),
            ("pushpins/test/good/000.png", "test", "good", ""),
            (
                "pushpins/test/logical_anomalies/000.png",
                "test",
                "logical_anomalies",
                "pushpins/ground_truth/logical_anomalies/000",
            ),
            (
                "pushpins/test/structural_anomalies/000.png",
                "test",
                "structural_anomalies",
                "pushpins/ground_truth/structural_anomalies/000",
            ),
        ],
        others=[
            f"pushpins/ground_truth/{defect}_anomalies/000/{number}.png"
            for defect in ("logical", "structural")
            for number in ("000", "001")
        ],
    ),
    Layout(
        "mvtec_ad_2",
        "can",
        [
            ("can/train/good/000_regular.png", "train", "good", ""),
            ("can/validation/good/000_regular.png", "validation", "good", ""),
            (
                "can/test_public/bad/000_overexposed.png",
                "test",
                "bad",
                "can/test_public/ground_truth/bad/000_overexposed_mask.png",
            ),
            ("can/test_public/good/000_regular.png", "test", "good", ""),
        ],
        others=["can/test_private/000.png", "can/test_private_mixed/000_mixed.png"],
    ),
    Layout(
        "visa",
        "candle",
        [
            ("candle/Data/Images/Normal/0000.JPG", "train", "good", ""),
            (
                "candle/Data/Images/Anomaly/000.JPG",
                "test",
                "anomalous",
                "candle/Data/Masks/Anomaly/000.png",
            ),
            ("candle/Data/Images/Normal/0001.JPG", "test", "good", ""),
        ],
        texts={
            "split_csv/1cls.csv": "object,split,label,image,mask\n"
            "candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n"
            "candle,test,normal,candle/Data/Images/Normal/0001.JPG,\n"
            "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,\n"
            "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,"
            "candle/Data/Masks/Anomaly/000.png\n"
        },
    ),
    Layout(
        "dagm",
        "Class10",
        [
            ("Class10/Train/0001.PNG", "train", "good", ""),
            ("Class10/Test/0001.PNG", "test", "good", ""),
            ("Class10/Test/0002.PNG", "test", "defect", "Class10/Test/Label/0002_label.PNG"),
        ],
        others=["Class10/Train/0002.PNG", "Class10/Train/Label/0002_label.PNG"],
        texts={"Class10/Train/Label/Labels.txt": "1\n"},
    ),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.dataset)
def test_a_data_set_is_read_as_its_archive_is_laid_out(layout: Layout, tree: Tree) -> None:
    images = [path for path, *_ in layout.expected]
    masks = [mask for *_, mask in layout.expected if Path(mask).suffix]
    root = tree(*images, *masks, *layout.others)
    for name, text in layout.texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    data = dataset(layout.dataset, root)
    assert layout.category in data.category_names()
    assert found(data, layout.category, root) == layout.expected


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.dataset)
def test_a_data_set_without_its_images_says_where_they_are_to_be_had(
    layout: Layout, tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"there is no folder .*: set dataset\.root=PATH .*https://"
    ):
        dataset(layout.dataset, tmp_path).catalog(layout.category)
    with pytest.raises(UserError, match="has no category 'nothing': choose from"):
        dataset(layout.dataset, tmp_path).facts("nothing")


def test_several_masks_of_an_image_are_put_together(tmp_path: Path) -> None:
    (tmp_path / "000").mkdir()
    for number in (0, 1):
        part = np.zeros((6, 8), np.uint8)
        part[number, :] = 100 + number
        cv2.imwrite(str(tmp_path / f"000/00{number}.png"), part)
    mask = read_mask(tmp_path / "000", (6, 8))
    assert mask[:2].all()
    assert not mask[2:].any()


def test_one_of_several_masks_of_another_size_is_named(tree: Tree) -> None:
    layout = LAYOUTS[2]
    root = tree(*(path for path, *_ in layout.expected), *layout.others)
    tree(layout.others[1], size=(3, 3))
    with pytest.raises(UserError, match=r"logical_anomalies/000/001\.png is 3 x 3 pixels"):
        dataset(layout.dataset, root).catalog(layout.category)


# Kolektor SDD2: every image has a mask, and the black ones are the good images'


def kolektor(tree: Tree) -> Path:
    tree("train/10001_GT.png", "test/20000_GT.png", value=0)
    return tree(
        "train/10001.png",
        "train/10002.png",
        "train/10002_GT.png",
        "train/10301 (copy).png",
        "train/10301_GT (copy).png",
        "test/20000.png",
        "test/20001.png",
        "test/20001_GT.png",
    )


def test_black_masks_are_those_of_good_images_and_stray_copies_are_left_out(tree: Tree) -> None:
    root = kolektor(tree)
    assert found(dataset("ksdd2", root), "ksdd2", root) == [
        ("train/10001.png", "train", "good", ""),
        ("test/20000.png", "test", "good", ""),
        ("test/20001.png", "test", "defect", "test/20001_GT.png"),
    ]


def test_a_data_set_of_one_category_may_lie_in_a_folder_of_its_name(tree: Tree) -> None:
    root = kolektor(lambda *names, value=255: tree(*(f"ksdd2/{n}" for n in names), value=value))
    assert len(found(dataset("ksdd2", root), "ksdd2", root)) == 3


def test_a_damaged_mask_is_named(tree: Tree) -> None:
    root = kolektor(tree)
    (root / "test/20001_GT.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"20001_GT\.png cannot be read as an image"):
        dataset("ksdd2", root).catalog("ksdd2")


# Magnetic tiles: a folder for each defect, the masks beside the images


def test_magnetic_tiles_are_split_at_random_and_have_their_masks_beside_them(tree: Tree) -> None:
    kinds = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
    good = [
        f"MT_Free/Imgs/exp1_num_{number}.{suffix}"
        for number in range(10)
        for suffix in ("jpg", "png")
    ]
    bad = [
        f"MT_{kind}/Imgs/exp1_num_{kind}.{suffix}" for kind in kinds for suffix in ("jpg", "png")
    ]
    root = tree(*good, *bad)
    rows = found(dataset("magnetic_tile", root), "magnetic_tile", root)
    splits = [split for path, split, *_ in rows if "Free" in path]
    assert (splits.count("train"), splits.count("test")) == (7, 3)
    assert {row for row in rows if row[2] != "good"} == {
        (
            f"MT_{kind}/Imgs/exp1_num_{kind}.jpg",
            "test",
            kind.lower(),
            f"MT_{kind}/Imgs/exp1_num_{kind}.png",
        )
        for kind in kinds
    }


def test_real_magnetic_tiles_are_read_as_their_archive_is_laid_out(
    assets: Path, tmp_path: Path
) -> None:
    source = assets / "images" / "magnetic_tile"
    kinds = {"Free": ["train/good", "test/good"], "Uneven": ["test/uneven", "ground_truth/uneven"]}
    kinds |= {
        kind: [f"test/{kind.lower()}", f"ground_truth/{kind.lower()}"]
        for kind in ("Blowhole", "Break", "Crack", "Fray")
    }
    for kind, folders in kinds.items():
        target = tmp_path / f"MT_{kind}" / "Imgs"
        target.mkdir(parents=True)
        for folder in folders:
            for file in (source / folder).iterdir():
                (target / file.name.replace("_mask", "")).symlink_to(file)
    catalog = dataset("magnetic_tile", tmp_path).catalog("magnetic_tile")
    assert len(catalog) == 1344
    assert (catalog["split"] == "train").sum() == 666
    anomalous = catalog[catalog["label"] == 1]
    assert (anomalous["mask"] != "").all()
    defect = anomalous.iloc[0]
    assert read_mask(defect["mask"], read_image(defect["path"]).shape[:2]).any()


def test_real_toothbrushes_are_read_by_every_data_set_in_mvtec_layout(assets: Path) -> None:
    catalog = dataset("mvtec_ad", assets / "images").catalog("toothbrush")
    assert len(catalog) == 90
