"""What a run suggests, and that it is silent where there is nothing to suggest."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from program import Program

from gad_bench.data.defect_sizes import narrowest_defect
from gad_bench.features.filterbank import FilterBank
from gad_bench.steps.advice import MASKS, advise_on_auroc, advise_on_input

BANK = FilterBank(name="filterbank", input_size=256, octaves=2, orientations=2, wavelength=4.0)


def masks(folder: Path, *shapes: np.ndarray) -> pd.DataFrame:
    for number, mask in enumerate(shapes):
        cv2.imwrite(str(folder / f"{number}.png"), mask.astype(np.uint8) * 255)
    return pd.DataFrame({"mask": ["", *(str(folder / f"{n}.png") for n in range(len(shapes)))]})


def rectangle(width: float, length: float, angle: float, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    middle = (shape[1] / 2, shape[0] / 2)
    corners = cv2.boxPoints((middle, (width, length), angle)).round().astype(np.int32)
    return np.asarray(cv2.fillPoly(mask, [corners], 1))


@pytest.mark.parametrize("angle", [0, 30, 45])
def test_a_defects_width_is_that_of_its_narrowest_side_at_the_input(
    tmp_path: Path, angle: float
) -> None:
    catalog = masks(tmp_path, rectangle(20, 200, angle, (512, 512)), np.ones((512, 512)))
    found = narrowest_defect(catalog, MASKS)
    assert found is not None
    assert found.at(256) == pytest.approx(10, abs=1.5)  # it is drawn with whole pixels
    assert found.mask.endswith("0.png")


def test_an_input_stretches_an_image_that_is_not_square(tmp_path: Path) -> None:
    found = narrowest_defect(masks(tmp_path, rectangle(9, 9, 0, (100, 400))), MASKS)
    assert found is not None
    assert found.at(200) == pytest.approx(4.5)  # 9 of 400 pixels wide, 9 or 10 of 100 high


def test_the_largest_part_of_a_mask_counts_and_a_black_mask_does_not(tmp_path: Path) -> None:
    mask = rectangle(50, 50, 0, (256, 256))
    mask[0, 0] = 1
    found = narrowest_defect(masks(tmp_path, mask, np.zeros((256, 256))), MASKS)
    assert found is not None
    assert found.at(256) == pytest.approx(51)
    assert narrowest_defect(pd.DataFrame({"mask": ["", str(tmp_path)]}), MASKS) is None


def told(caplog: pytest.LogCaptureFixture, catalog: pd.DataFrame) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        advise_on_input(BANK, catalog)
    return caplog.messages


def test_a_larger_input_is_suggested_for_a_defect_of_few_pixels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (line,) = told(caplog, masks(tmp_path, rectangle(19, 99, 0, (1024, 1024))))
    assert "0.png) is 5.3 pixels across at this input of 256" in line  # 21 of 1024
    assert "backbone.input_size=416 is worth a try, at some 2.6 times the time" in line
    assert advised_width(tmp_path, 416) >= 8


def advised_width(folder: Path, side: int) -> float:
    found = narrowest_defect(pd.DataFrame({"mask": [str(folder / "0.png")]}), MASKS)
    assert found is not None
    return found.at(side)


@pytest.mark.parametrize(
    ("side", "image"), [(40, 1024), (2, 256), (2, 280)], ids=["wide", "no larger", "hardly larger"]
)
def test_nothing_is_suggested_where_it_would_not_help(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, side: int, image: int
) -> None:
    assert told(caplog, masks(tmp_path, rectangle(side, side, 0, (image, image)))) == []
    assert told(caplog, pd.DataFrame({"mask": ["", ""]})) == []


def test_no_larger_input_is_suggested_than_the_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (line,) = told(caplog, masks(tmp_path, rectangle(1, 1, 0, (400, 300))))
    assert "backbone.input_size=384 is" in line


def test_it_takes_a_small_part_of_a_second(assets: Path) -> None:
    folder = assets / "images" / "magnetic_tile" / "ground_truth"
    catalog = pd.DataFrame({"mask": sorted(map(str, folder.rglob("*.png")))})
    assert len(catalog) > 300
    started = time.process_time()
    assert narrowest_defect(catalog, MASKS) is not None
    assert time.process_time() - started < 1


def test_an_auroc_below_chance_draws_a_reminder(caplog: pytest.LogCaptureFixture) -> None:
    advise_on_auroc(0.5)
    assert caplog.messages == []
    advise_on_auroc(0.49)
    (line,) = caplog.messages
    assert "AUROC is below chance, so good images score higher than defective ones" in line
    assert "backbone.input_size=" in line


def test_a_run_with_swapped_labels_is_reminded_and_a_usual_one_is_not(
    program: Program, tmp_path: Path
) -> None:
    usual = program("experiment=demo", "tracking=none", "figures=false", "fold=full")
    assert "below chance" not in usual.output
    wood = Path(usual.scores["path"][0]).parents[2]
    swapped = tmp_path / "swapped"
    (swapped / "test").mkdir(parents=True)
    (swapped / "train").symlink_to(wood / "train")
    defect = next(path for path in (wood / "test").iterdir() if path.name != "good")
    (swapped / "test" / "good").symlink_to(defect)
    (swapped / "test" / "bad").symlink_to(wood / "test" / "good")
    run = ["backbone=filterbank", "dataset=folder", f"dataset.root={swapped}", "category=swapped"]
    outcome = program(*run, "tracking=none", "figures=false", "fold=full")
    assert outcome.status == 0, outcome.errors
    assert outcome.metrics["auroc_ci_high"] < 0.5
    assert outcome.output.count("below chance") == 1
