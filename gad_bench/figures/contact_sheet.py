"""The contact sheet: rows of images, put together as pixels; matplotlib takes far longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.data.fingerprint import file_stamp
from gad_bench.data.images import read_image, read_mask, shrink, shrink_mask
from gad_bench.evaluation import Scores
from gad_bench.figures.names import pillow_font, readable
from gad_bench.figures.style import ANOMALOUS, GOOD, INK
from gad_bench.figures.text import letters, paint, write

SIDE = 180  # pixels, as all that follows: the longer side of an image
CELL, TITLE, NAME = 188, 36, 44  # a place for an image, the lines above it, the margin
SMALL, LARGE = 11, 15  # the sizes of titles and of the rows' names
RISE = 8  # from an image to the foot of its file's name
LINE = 14  # from there to the foot of its title
COLUMNS = 6  # images in a row of a run's sheet
OUTLINE = 9  # across a defect of one pixel
OUTLINE_COLOUR = (0, 255, 255)
KEPT = 128  # thumbnails that a process keeps, of 100 kB


class Thumbnail(NamedTuple):
    """One image of the contact sheet."""

    picture: NDArray[np.uint8]  # [height, width, 3] RGB
    title: str  # cut off where it is too long, the score that follows it is not
    anomalous: bool
    score: str = ""
    file: str = ""


def draw_contact_sheet(rows: Mapping[str, Sequence[Thumbnail]]) -> NDArray[np.uint8]:
    """Draw rows of images, each row with its name.

    Returns:
        uint8 array of shape [height, width, 3], RGB.
    """
    columns = max(len(panels) for panels in rows.values())
    sheet = np.full((len(rows) * (TITLE + CELL), NAME + columns * CELL, 3), 255, np.uint8)
    for row, (name, panels) in enumerate(rows.items()):
        top = row * (TITLE + CELL) + TITLE
        _name(sheet, name, top)
        for column, panel in enumerate(panels):
            _place(sheet, panel, NAME + column * CELL, top)
    return sheet


def extremes(
    tested: pd.DataFrame, scores: Scores, flagged: NDArray[np.bool_] | None
) -> dict[str, list[Thumbnail]]:
    """Return the highest and the lowest scored images of either kind, if there are any.

    Args:
        tested: the test images' rows of the catalog.
        scores: theirs.
        flagged: which of them are called anomalous [images], where that is decided.
    """
    panel = partial(_thumbnail_of, tested, scores, flagged)
    rows = {}
    with ThreadPoolExecutor() as pool:
        for label, kind in ((0, "good"), (1, "anomalous")):
            order = np.flatnonzero(scores.labels == label)
            if not len(order):
                continue
            order = order[np.argsort(scores.combined[order], kind="stable")]
            rows[f"{kind}, lowest"] = list(pool.map(panel, order[:COLUMNS]))
            rows[f"{kind}, highest"] = list(pool.map(panel, order[::-1][:COLUMNS]))
    return rows


def _thumbnail_of(
    tested: pd.DataFrame, scores: Scores, flagged: NDArray[np.bool_] | None, row: int
) -> Thumbnail:
    score = scores.combined[row]
    decision = "" if flagged is None else "  flagged" if flagged[row] else "  passed"
    return Thumbnail(
        picture=_thumbnail(tested["path"].iloc[row], tested["mask"].iloc[row]),
        title=tested["defect"].iloc[row],
        score=f"  {score:#.3g}{decision}",
        file=Path(tested["path"].iloc[row]).name,
        anomalous=bool(scores.labels[row]),
    )


def _thumbnail(path: str, mask_path: str) -> NDArray[np.uint8]:
    """Return a small picture [height, width, 3] with a line round its defect."""
    return _drawn(path, mask_path, *(file_stamp(file) for file in (path, mask_path) if file))


@lru_cache(KEPT)
def _drawn(path: str, mask_path: str, *_stamps: str) -> NDArray[np.uint8]:
    """Draw a thumbnail; the jobs of a sweep, which show the same images, do so once."""
    image = read_image(path)
    return outlined(image, read_mask(mask_path, image.shape[:2]) if mask_path else None, SIDE)


def outlined(
    image: NDArray[np.uint8], mask: NDArray[np.bool_] | None, side: int
) -> NDArray[np.uint8]:
    """Return an image [H, W, 3], made small, with a line round its defect's mask [H, W]."""
    small = shrink(image, side)
    if mask is not None:
        within = shrink_mask(mask, side).astype(np.uint8)
        around = cv2.dilate(within, np.ones((OUTLINE, OUTLINE), np.uint8))
        lines, _ = cv2.findContours(around, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, lines, -1, OUTLINE_COLOUR, 1)
    return small


def _name(sheet: NDArray[np.uint8], name: str, top: int) -> None:
    """Write a row's name beside it, from below to above."""
    mask = np.rot90(letters(_shortened(name, SIDE, LARGE), LARGE)[0])
    height, width = mask.shape
    paint(sheet, mask, (NAME - width) // 2, top + (SIDE - height) // 2, "black")


def _place(sheet: NDArray[np.uint8], panel: Thumbnail, left: int, top: int) -> None:
    """Draw an image in the middle of its place, its title above it."""
    picture = shrink(panel.picture, SIDE)
    height, width = picture.shape[:2]
    middle, top = left + CELL // 2, top + SIDE - height
    start = middle - width // 2
    sheet[top : top + height, start : start + width] = picture
    colour = ANOMALOUS if panel.anomalous else GOOD
    room = SIDE - pillow_font(SMALL).getlength(panel.score)
    title = _shortened(panel.title, room, SMALL) + panel.score
    file = _shortened(panel.file, SIDE, SMALL)
    for text, rise, ink in ((title, RISE + LINE, colour), (file, RISE, INK)):
        length = pillow_font(SMALL, text).getlength(text)
        write(sheet, text, (middle - length / 2, top - rise), ink, SMALL)


def _shortened(name: str, room: float, size: int) -> str:
    """Return a name on one line, cut off where it is longer than some pixels."""
    name = readable(name)
    font = pillow_font(size, name)
    if font.getlength(name) <= room:
        return name
    while name and font.getlength(f"{name}…") > room:
        name = name[:-1]
    return f"{name}…"
