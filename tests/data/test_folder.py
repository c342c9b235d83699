from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gad_bench.base.errors import UserError
from gad_bench.data.folder import Folder
from gad_bench.data.images import read_image, read_mask

Tree = Callable[..., Path]

FACTS = {
    "kind": "object",
    "horizontal_flip": False,
    "quarter_turns": False,
    "rotation_limit": 0,
    "shift_limit": 0,
    "scale_limits": [0, 0],
    "smallest_defect": None,
}
DEFAULTS: dict[str, Any] = {
    "name": "folder",
    "root": None,
    "good": None,
    "bad": [],
    "mask": None,
    "test_share": 0.3,
    "seed": 0,
    "csv": None,
    "shared": FACTS,
    "categories": {},
}
MVTEC = ("train/good/0.png", "test/good/0.png", "test/scratch/0.png")


def folder(**values: object) -> Folder:
    return Folder(**DEFAULTS | {key: _text(value) for key, value in values.items()})


def _text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def counts(catalog: pd.DataFrame) -> dict[tuple[str, str], int]:
    return dict(Counter(zip(catalog["split"], catalog["defect"], strict=True)))


# MVTec layout


def test_each_subfolder_in_mvtec_layout_is_a_category(tree: Tree) -> None:
    root = tree(*(f"{name}/{path}" for name in ("nut", "bolt") for path in MVTEC), "notes/a.png")
    data = folder(root=root)
    assert data.category_names() == ["bolt", "nut"]
    catalog = data.catalog("nut")
    assert counts(catalog) == {("train", "good"): 1, ("test", "good"): 1, ("test", "scratch"): 1}
    assert set(catalog["category"]) == {"nut"}


def test_the_root_may_be_the_category_itself(tree: Tree) -> None:
    root = tree(*(f"nut/{path}" for path in MVTEC)) / "nut"
    assert folder(root=root).category_names() == ["nut"]
    assert len(folder(root=root).catalog("nut")) == 3


def test_a_users_home_is_known(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tree(*(f"images/nut/{path}" for path in MVTEC))))
    assert folder(root="~/images").category_names() == ["nut"]


def test_facts_may_be_given_for_a_category() -> None:
    data = folder(root="/x", categories={"screw": {"rotation_limit": 15}})
    assert data.facts("screw").rotation_limit == 15
    assert data.facts("nut").rotation_limit == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "data set folder has no root: set dataset.root=PATH to a folder of images, or"),
        ({"root": "/nowhere"}, "data set folder: there is no folder /nowhere: set dataset.root"),
        ({"root": "/x", "csv": "a.csv"}, "dataset.csv lists the images by itself: leave root"),
        ({"root": "/x", "good": "ok"}, "dataset.good and dataset.bad .* set both"),
        ({"root": "/x", "bad": ["nok"]}, "dataset.good and dataset.bad .* set both"),
        ({"root": "/x", "good": "a", "bad": ["a"]}, "name a folder twice"),
        ({"root": "/x", "good": "a", "bad": ["b", "b"]}, "name a folder twice"),
        ({"root": "/x", "test_share": 1.0}, "dataset.test_share must lie between 0 and 1, not 1.0"),
    ],
)
def test_a_folder_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        folder(**values).category_names()


def test_a_root_without_any_category_is_refused(tree: Tree) -> None:
    (tree() / "nut").mkdir()
    message = r"neither .* nor any folder in it has a folder train or holds images"
    with pytest.raises(UserError, match=message):
        folder(root=tree()).category_names()


def test_an_unknown_category_lists_those_that_are_there(tree: Tree) -> None:
    root = tree(*(f"{name}/{path}" for name in ("nut", "bolt") for path in MVTEC))
    with pytest.raises(UserError, match="folder has no category 'screw': choose from bolt, nut"):
        folder(root=root).catalog("screw")


def test_validation_images_and_no_test_images_are_read_in_mvtec_layout(tree: Tree) -> None:
    root = tree("nut/train/good/0.png", "nut/train/good/1.png", "nut/validation/good/0.png")
    catalog = folder(root=root).catalog("nut")
    assert counts(catalog) == {("train", "good"): 2, ("validation", "good"): 1}


def test_folders_of_images_are_categories_of_good_ones(tree: Tree) -> None:
    root = tree("nut/0.png", "nut/1.png", "bolt/0.png", "notes/more/a.png")
    data = folder(root=root)
    assert data.category_names() == ["bolt", "nut"]
    assert counts(data.catalog("nut")) == {("train", "good"): 2}


def test_a_folder_of_images_is_a_category_of_good_ones(tree: Tree) -> None:
    root = tree("parts/0.png", "parts/1.png") / "parts"
    data = folder(root=root)
    assert data.category_names() == ["parts"]
    assert counts(data.catalog("parts")) == {("train", "good"): 2}


# Plain folders


def plain(tree: Tree, good: int = 10) -> Path:
    return tree(*(f"nut/ok/{n}.png" for n in range(good)), "nut/rust/0.png", "nut/dent/0.png")


def test_plain_folders_are_split_at_random_but_always_alike(tree: Tree) -> None:
    root = plain(tree)
    first, again, other = (
        folder(root=root, good="ok", bad=["rust", "dent"], seed=seed).catalog("nut")
        for seed in (0, 0, 1)
    )
    assert counts(first) == {
        ("train", "good"): 7,
        ("test", "good"): 3,
        ("test", "rust"): 1,
        ("test", "dent"): 1,
    }
    assert list(first["label"][first["split"] == "train"]) == [0] * 7
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_a_part_without_images_is_refused(share: float, tree: Tree) -> None:
    data = folder(root=plain(tree), good="ok", bad=["rust"], test_share=share)
    held = round(10 * share)
    with pytest.raises(UserError, match=f"dataset.test_share={share} holds {held} of 10 good"):
        data.catalog("nut")


def test_a_bad_folder_that_is_not_there_is_named(tree: Tree) -> None:
    data = folder(root=plain(tree), good="ok", bad=["rust", "bent"])
    with pytest.raises(UserError, match=r"nut/bent does not exist: it must hold \.bmp, \.jpeg"):
        data.catalog("nut")


def test_a_good_folder_that_is_not_there_is_named(tree: Tree) -> None:
    data = folder(root=plain(tree), good="fine", bad=["rust"])
    with pytest.raises(UserError, match=r"neither .* nor any folder in it has a folder fine"):
        data.catalog("nut")


def test_masks_may_lie_beside_the_images_of_plain_folders(tree: Tree) -> None:
    root = tree(*(f"ok/{n}.png" for n in range(4)), "nok/a.png", "nok/a_mask.png", "nok/b.png")
    data = folder(root=root, good="ok", bad=["nok"], mask="*_mask.png")
    catalog = data.catalog(root.name)
    anomalous = catalog[catalog["label"] == 1]
    assert list(anomalous["path"]) == [str(root / "nok/a.png"), str(root / "nok/b.png")]
    assert list(anomalous["mask"]) == [str(root / "nok/a_mask.png"), ""]


# CSV

HEAD = "path,label,split,defect,mask\n"
LINES = "a.png,good,train,,\nb.png,0,test,,\nc.png,Bad,TEST,scratch,m.png\nd.png,1,test,,\n"


def table(tree: Tree, text: str, encoding: str = "utf-8") -> Path:
    path = tree("a.png", "b.png", "c.png", "d.png", "m.png") / "nut.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_a_csv_lists_a_category_that_is_named_as_its_file(tree: Tree) -> None:
    path = table(tree, HEAD + LINES)
    data = folder(csv=path)
    assert data.category_names() == ["nut"]
    catalog = data.catalog("nut")
    expected = [
        ("a.png", "train", 0, "good", ""),
        ("b.png", "test", 0, "good", ""),
        ("c.png", "test", 1, "scratch", str(path.parent / "m.png")),
        ("d.png", "test", 1, "anomalous", ""),
    ]
    read = catalog[["path", "split", "label", "defect", "mask"]].itertuples(index=False, name=None)
    assert [(Path(row[0]).name, *row[1:]) for row in read] == expected


def test_a_csv_may_list_several_categories(tree: Tree) -> None:
    lines = "{0}.png,0,train,{1}\nb.png,0,test,{1}\nc.png,1,test,{1}\n"
    text = "path,label,split,category\n" + lines.format("a", "nut") + lines.format("d", "bolt")
    data = folder(csv=table(tree, text))
    assert data.category_names() == ["bolt", "nut"]
    assert [Path(path).name for path in data.catalog("bolt")["path"]] == ["d.png", "b.png", "c.png"]


def test_a_csv_that_names_the_category_of_some_lines_alone_is_refused(tree: Tree) -> None:
    text = "path,label,split,category\na.png,0,train,nut\nb.png,0,test,\n"
    with pytest.raises(UserError, match=r"nut\.csv, line 3: category is empty"):
        folder(csv=table(tree, text)).category_names()


def test_a_csv_may_hold_images_for_validation(tree: Tree) -> None:
    text = "path,label,split\na.png,0,train\nd.png,0,validation\nb.png,0,test\nc.png,1,test\n"
    catalog = folder(csv=table(tree, text)).catalog("nut")
    assert list(catalog["split"]) == ["train", "validation", "test", "test"]


@pytest.mark.parametrize(
    "text",
    [
        "path, label, split\na.png, 0, train\nb.png, 0, test\nc.png, 1, test\n",
        "split,path,note,label\ntrain,a.png,x,0\ntest,b.png,,0\ntest,c.png,,1\n",
        '"path","label","split"\r\n"a.png","0","train"\r\nb.png,0,test\r\nc.png,1,test\r\n',
    ],
    ids=["blanks", "other columns", "quotes"],
)
def test_a_csv_may_be_written_as_programs_write_it(text: str, tree: Tree) -> None:
    assert len(folder(csv=table(tree, text)).catalog("nut")) == 3


def test_a_byte_order_mark_as_excel_writes_it_is_no_part_of_the_first_column(tree: Tree) -> None:
    assert len(folder(csv=table(tree, HEAD + LINES, encoding="utf-8-sig")).catalog("nut")) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,0\n", r"nut\.csv has no column split: its first line must name path"),
        ("path;label;split\na.png;0;train\n", "has no column path, label, split: .* by commas"),
        ("", "has no column path, label, split"),
        (HEAD + "x.png,0,train,,\n", r"nut\.csv, line 2: there is no file .*/x\.png"),
        (HEAD + ",0,train,,\n", "line 2: path is empty"),
        (HEAD + "a.png,0,train\nb.png,maybe,test,,\n", "line 3: label is 'maybe': .* one of 0,"),
        (HEAD + "a.png,0,valid,,\n", "line 2: split is 'valid': it must be one of train, val"),
        (HEAD + "a.png,1,train,,\n", "line 2: only test images may be anomalous"),
        (HEAD + "a.png,1,validation,,\n", "line 2: only test images may be anomalous"),
        (HEAD + "a.png,0,test,scratch,\n", "line 2: a good image has no defect and no mask"),
        (HEAD + "a.png,0,test,,m.png\n", "line 2: a good image has no defect and no mask"),
        (HEAD + "a.png,1,test,good,\n", "line 2: an anomalous image's defect cannot be 'good'"),
        (HEAD + "a.png,1,test,dent,n.png\n", r"line 2: there is no file .*/n\.png"),
        (HEAD + LINES + "x/../a.png,0,test,,\n", r"line 6: .*a\.png is listed already, in line 2"),
        (HEAD + "a.png,0,test,,\n", r"nut\.csv has no training images"),
    ],
)
def test_a_line_that_cannot_be_is_named(text: str, message: str, tree: Tree) -> None:
    with pytest.raises(UserError, match=message):
        folder(csv=table(tree, text)).catalog("nut")


def test_a_mask_of_another_size_in_a_csv_is_named(tree: Tree) -> None:
    path = table(tree, HEAD + LINES)
    tree("m.png", size=(9, 9))
    with pytest.raises(UserError, match=r"m\.png is 9 x 9 pixels, its image 8 x 6"):
        folder(csv=path).catalog("nut")


def test_a_csv_that_is_not_there_or_not_text_is_named(tree: Tree) -> None:
    with pytest.raises(UserError, match=r"nut\.csv cannot be read as CSV in UTF-8"):
        folder(csv=tree() / "nut.csv").catalog("nut")
    path = table(tree, HEAD + "\xe4.png,0,train,,\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"nut\.csv cannot be read as CSV in UTF-8"):
        folder(csv=path).catalog("nut")


# Real images


def test_real_magnetic_tiles_are_all_there(assets: Path) -> None:
    catalog = folder(root=assets / "images").catalog("magnetic_tile")
    assert counts(catalog) == {
        ("train", "good"): 667,
        ("test", "good"): 285,
        ("test", "blowhole"): 115,
        ("test", "break"): 85,
        ("test", "crack"): 57,
        ("test", "fray"): 32,
        ("test", "uneven"): 103,
    }
    marked = marked_pixels(catalog)
    assert len(marked) == 392
    empty = {stem for stem, pixels in marked.items() if pixels == 0}
    assert empty == {
        "exp3_num_45042",
        "exp4_num_124690",
        "exp4_num_352527",
        "exp4_num_45057",
    }


def marked_pixels(catalog: pd.DataFrame) -> dict[str, int]:
    """The defective pixels of each anomalous image, by its stem."""
    return {
        Path(row.path).stem: int(read_mask(row.mask, read_image(row.path).shape[:2]).sum())
        for row in catalog[catalog["label"] == 1].itertuples()
    }


def test_real_toothbrushes_are_all_there(assets: Path) -> None:
    catalog = folder(root=assets / "images" / "toothbrush").catalog("toothbrush")
    assert counts(catalog) == {
        ("train", "good"): 42,
        ("test", "good"): 18,
        ("test", "defective"): 30,
    }
    assert min(marked_pixels(catalog).values()) > 0
