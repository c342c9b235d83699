"""The contact sheet: rows of images, put together as pixels; matplotlib takes far longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gad_bench.evaluation.figures import ANOMALOUS, GOOD

SIDE = 180  # pixels, as all that follows: the longer side of an image
CELL, TITLE, NAME = 188, 22, 44  # a place for an image, the line above it, the margin
SMALL, LARGE = 11, 15  # the sizes of titles and of the rows' names
RISE = 8  # from an image to the foot of its title


class Panel(NamedTuple):
    """One image of the contact sheet."""

    picture: NDArray[np.uint8]  # [height, width, 3] RGB
    title: str  # cut off where it is too long, the score that follows it is not
    anomalous: bool
    score: str = ""


def draw_contact_sheet(rows: Mapping[str, Sequence[Panel]]) -> NDArray[np.uint8]:
    """Draw rows of images, each row with its name.

    Returns:
        uint8 array of shape [height, width, 3], RGB.
    """
    columns = max(len(panels) for panels in rows.values())
    sheet = Image.new("RGB", (NAME + columns * CELL, len(rows) * (TITLE + CELL)), "white")
    for row, (name, panels) in enumerate(rows.items()):
        top = row * (TITLE + CELL) + TITLE
        _name(sheet, name, top)
        for column, panel in enumerate(panels):
            _place(sheet, panel, NAME + column * CELL, top)
    return np.asarray(sheet)


def _name(sheet: Image.Image, name: str, top: int) -> None:
    """Write a row's name beside it, from below to above."""
    name = _shortened(name, SIDE, LARGE)
    left, over, right, under = _font(LARGE).getbbox(name)
    text = Image.new("RGB", (int(right - left), int(under - over)), "white")
    ImageDraw.Draw(text).text((-left, -over), name, "black", _font(LARGE))
    turned = text.rotate(90, expand=True)
    sheet.paste(turned, ((NAME - turned.width) // 2, top + (SIDE - turned.height) // 2))


def _place(sheet: Image.Image, panel: Panel, left: int, top: int) -> None:
    """Draw an image in the middle of its place, its title above it."""
    picture = _fitted(panel.picture)
    height, width = picture.shape[:2]
    middle, top = left + CELL // 2, top + SIDE - height
    sheet.paste(Image.fromarray(picture), (middle - width // 2, top))
    colour = ANOMALOUS if panel.anomalous else GOOD
    foot = (middle, top - RISE)
    room = SIDE - _font(SMALL).getlength(panel.score)
    title = _shortened(panel.title, room, SMALL) + panel.score
    ImageDraw.Draw(sheet).text(foot, title, colour, _font(SMALL), anchor="ms")


def _shortened(name: str, room: float, size: int) -> str:
    """Return a name on one line, cut off where it is longer than some pixels."""
    name, font = " ".join(name.split()), _font(size)
    if font.getlength(name) <= room:
        return name
    while name and font.getlength(f"{name}…") > room:
        name = name[:-1]
    return f"{name}…"


def _fitted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture as large as its place allows."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of the figures."""
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
