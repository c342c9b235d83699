from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from gad_bench.figures.contact_sheet import CELL, NAME, SIDE, TITLE, Thumbnail, draw_contact_sheet
from gad_bench.figures.curves import ANOMALOUS, GOOD

GREY = 120


def grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), GREY, np.uint8)


def cell(sheet: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    """A panel's part of the sheet, the line of its title included."""
    top, left = row * (TITLE + CELL), NAME + column * CELL
    return sheet[top : top + TITLE + CELL, left : left + CELL]


def box(found: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The first and last row and column of what was found."""
    rows, columns = np.nonzero(found)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def is_colour(part: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    return np.asarray(abs(part / 255 - to_rgb(colour)).max(axis=2) < 0.05)


@pytest.mark.parametrize(("height", "width"), [(180, 180), (20, 90), (90, 20), (2000, 2), (300, 1)])
def test_an_image_fills_the_middle_of_its_place_in_its_own_shape(height: int, width: int) -> None:
    part = cell(draw_contact_sheet({"row": [Thumbnail(grey(height, width), "", False)]}), 0, 0)
    top, bottom, left, right = box((part == GREY).all(axis=2))
    scale = SIDE / max(height, width)
    assert bottom - top + 1 == max(1, round(height * scale))
    assert right - left + 1 == max(1, round(width * scale))
    assert left + right == pytest.approx(CELL, abs=1)
    assert bottom == TITLE + SIDE - 1


def test_an_image_of_the_right_size_is_shown_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (SIDE, 90, 3), np.uint8)
    part = cell(draw_contact_sheet({"row": [Thumbnail(picture, "", False)]}), 0, 0)
    left = (CELL - 90) // 2
    np.testing.assert_array_equal(part[TITLE : TITLE + SIDE, left : left + 90], picture)


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (20, 90)])
def test_a_title_stands_above_its_image_in_the_colour_of_its_kind(shape: tuple[int, int]) -> None:
    panels = [
        Thumbnail(grey(*shape), "good  1.00", False),
        Thumbnail(grey(*shape), "crack  12.3", True),
    ]
    sheet = draw_contact_sheet({"row": panels})
    for column, own, other in ((0, GOOD, ANOMALOUS), (1, ANOMALOUS, GOOD)):
        part = cell(sheet, 0, column)
        first_row = box((part == GREY).all(axis=2))[0]
        top, bottom, left, right = box(is_colour(part, own))
        assert first_row - TITLE <= top < bottom < first_row
        assert left + right == pytest.approx(CELL, abs=4)
        assert not is_colour(part, other).any()


def test_rows_of_any_length_stand_one_below_the_other_with_their_names() -> None:
    panel = Thumbnail(grey(SIDE, SIDE), "good  1.00", False)
    sheet = draw_contact_sheet({"first": [panel, panel], "second, shorter": [panel]})
    assert sheet.shape == (2 * (TITLE + CELL), NAME + 2 * CELL, 3)
    np.testing.assert_array_equal(cell(sheet, 0, 0), cell(sheet, 1, 0))
    assert (cell(sheet, 1, 1) == 255).all()
    names = [sheet[row * (TITLE + CELL) :, :NAME][: TITLE + CELL] < 128 for row in (0, 1)]
    (first, second) = [box(name.any(axis=2)) for name in names]
    for top, bottom, left, right in (first, second):
        assert top + bottom == pytest.approx(2 * TITLE + SIDE, abs=8)
        assert bottom - top > right - left  # it runs upwards
        assert left + right == pytest.approx(NAME, abs=6)
    assert second[1] - second[0] > first[1] - first[0]


def test_a_long_title_keeps_to_its_place_and_its_score_is_whole() -> None:
    long = Thumbnail(grey(SIDE, SIDE), "a crack\nalong the whole of the left edge", False, "  12.3")
    short = Thumbnail(grey(SIDE, SIDE), "", False, "  12.3")
    sheet = draw_contact_sheet({"row": [long, short]})
    words, score = (is_colour(cell(sheet, 0, column), GOOD) for column in (0, 1))
    assert words[TITLE:].sum() == 0
    left, right = box(words)[2:]
    assert 0 < left < right < CELL
    first, last, start, end = box(score)
    np.testing.assert_array_equal(
        words[first : last + 1, right - (end - start) : right + 1],
        score[first : last + 1, start : end + 1],
    )


def test_a_long_name_of_a_row_keeps_to_its_row() -> None:
    rows = {name: [Thumbnail(grey(SIDE, SIDE), "", False)] for name in ("wide " * 40, "a\nb")}
    margin = draw_contact_sheet(rows)[:, :NAME]
    dark = (margin < GREY).all(axis=2)
    assert dark[TITLE : TITLE + SIDE].any()
    assert not dark[TITLE + SIDE : 2 * TITLE + SIDE].any()
