from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gad_bench.augmentation_sheet import main

SIZE = 24


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two categories of five training images."""
    monkeypatch.setenv("GAD_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0)
    for category in ("bolt", "tile"):
        for place, count in (("train/good", 5), ("test/good", 1), ("test/hole", 1)):
            (tmp_path / "images" / category / place).mkdir(parents=True)
            for number in range(count):
                path = tmp_path / "images" / category / place / f"{number}.png"
                cv2.imwrite(str(path), noise.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8))
    return tmp_path / "images"


def test_a_row_for_each_category_and_a_column_for_each_image(folder: Path) -> None:
    heights, widths = [], []
    for categories, columns in ((["bolt"], 2), (["bolt", "tile"], 2), (["bolt"], 4)):
        arguments = ["--categories", *categories, "--columns", str(columns), "--output", "a.png"]
        assert main(["dataset=folder", f"dataset.root={folder}", *arguments]) == 0
        height, width = cv2.imread("a.png").shape[:2]
        heights.append(height)
        widths.append(width)
    assert heights[1] == 2 * heights[0]
    assert widths[2] > 1.5 * widths[0]


def test_the_same_command_draws_the_same_sheet(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.png", "two.png"):
        arguments = ["augmentation.probability=1", "--columns", "3", "--output", name]
        assert main(["dataset=folder", f"dataset.root={folder}", *arguments]) == 0
    np.testing.assert_array_equal(cv2.imread("one.png"), cv2.imread("two.png"))
    assert capsys.readouterr().out == "one.png\ntwo.png\n"


def test_the_first_column_is_as_it_is_and_others_are_changed(folder: Path) -> None:
    """With probability 0 all are as they are."""
    sheets = []
    for probability in (0, 1):
        arguments = [f"augmentation.probability={probability}", "--columns", "8"]
        main(["dataset=folder", f"dataset.root={folder}", *arguments, "--categories", "tile"])
        sheets.append(cv2.imread("augmentation.png").astype(int))
    changed = np.abs(sheets[0] - sheets[1]).sum(axis=(0, 2)) > 0
    first = len(changed) // 8
    assert not changed[:first].any()
    assert changed[first:].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["augmentation=none"], "augmentation=none changes no image"),
        (["--categories", "nut"], "nut"),
        (["--output", "/proc/nowhere/a.png"], "/proc/nowhere/a.png"),
        (["--columns", "0"], "--columns must be at least 1, not 0"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset=folder", f"dataset.root={folder}", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
