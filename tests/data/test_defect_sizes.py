from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gad_bench.data.catalog import ImageRow, make_catalog
from gad_bench.data.defect_sizes import largest_part, smallest_defect
from gad_bench.defect_sizes import main


def mask_of(rows: list[str]) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


@pytest.mark.parametrize(
    ("rows", "area"),
    [
        (["....", "....", "...."], 0),
        (["#...", "....", "..##"], 2),
        (["#...", ".#..", "..#."], 3),
        (["####", "####", "####"], 12),
    ],
    ids=["none", "the larger of two", "by corners", "everything"],
)
def test_the_largest_part_of_a_mask(rows: list[str], area: int) -> None:
    assert largest_part(mask_of(rows)) == area


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A category whose masks have largest parts of 60, 12 and, black, no pixels."""
    for place in ("train/good", "test/good", "test/hole"):
        (tmp_path / "tile" / place).mkdir(parents=True)
        for number in range(3):
            image = np.zeros((20, 30, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "tile" / place / f"{number}.png"), image)
    (tmp_path / "tile/ground_truth/hole").mkdir(parents=True)
    for number, (height, width) in enumerate([(6, 10), (3, 4), (0, 0)]):
        mask = np.zeros((20, 30), np.uint8)
        mask[:height, :width] = 255
        mask[19, 29] = 255 * (height > 0)
        cv2.imwrite(str(tmp_path / f"tile/ground_truth/hole/{number}_mask.png"), mask)
    return tmp_path


def test_the_smallest_defect_is_told_with_its_share_and_its_mask(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset=folder", f"dataset.root={folder}"]) == 0
    mask = folder / "tile/ground_truth/hole/1_mask.png"
    line = f"tile: 12 pixels, 2.0000% of the image, in {mask}\n"
    assert capsys.readouterr().out == line


def test_a_category_without_masks_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mask in (folder / "tile/ground_truth/hole").iterdir():
        mask.unlink()
    assert main(["dataset=folder", f"dataset.root={folder}", "--categories", "tile"]) == 0
    assert capsys.readouterr().out == "tile: no masks\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dataset=mvtec"], "there is no dataset=mvtec"),
        (["dataset=demo", "--categories", "bolt"], "has no category 'bolt': choose from fabric"),
        (["dataset=mvtec_ad", "dataset.root=/nowhere"], "/nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_the_published_size_is_found_on_real_masks(assets: Path) -> None:
    """The asset is at half the published size: 1480 of 1024 x 1024 pixels."""
    root = assets / "images" / "toothbrush"
    rows = [ImageRow(str(root / "train/good/000.png"), "toothbrush", "train", 0, "good", "")]
    for path in sorted((root / "test").glob("*/*.png")):
        defect = path.parent.name
        mask = root / "ground_truth" / defect / f"{path.stem}_mask.png"
        label = int(defect != "good")
        rows.append(
            ImageRow(str(path), "toothbrush", "test", label, defect, str(mask) if label else "")
        )
    found = smallest_defect(make_catalog(rows, "assets"))
    assert found is not None
    assert found.share == pytest.approx(1480 / 1024**2, rel=0.05)
