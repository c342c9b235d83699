"""Text in figures, drawn by Pillow."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from gad_bench.figures.names import pillow_font

POINTS = 72  # in an inch
KEPT = 1024  # words that a process keeps, of a few kB
UPWARDS = 90  # degrees


class Renderer(RendererAgg):
    """Agg, but that Pillow measures and draws text: matplotlib takes ten times as long.

    Formulas, and text at other angles than level and upwards, are drawn by matplotlib.
    """

    def get_text_width_height_descent(
        self,
        s: str,
        prop: FontProperties,
        ismath: Any,  # noqa: ANN401
    ) -> tuple[float, float, float]:
        """Return the size of a text in pixels, and what of it is below its line."""
        if ismath:
            return super().get_text_width_height_descent(s, prop, ismath)  # type: ignore[no-untyped-call]
        mask, left, top = letters(s, self._size(prop))
        height, width = mask.shape
        return left + width, height, top + height

    def draw_text(  # noqa: PLR0913, PLR0917 - what matplotlib hands over
        self,
        gc: Any,  # noqa: ANN401
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,  # noqa: ANN401
        mtext: Any = None,  # noqa: ANN401
    ) -> None:
        """Draw a text that begins at a place in pixels, from the upper left corner."""
        if ismath or angle not in (0, UPWARDS):
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)  # type: ignore[no-untyped-call]
            return
        mask, left, top = letters(s, self._size(prop))
        if angle == UPWARDS:
            mask, left, top = np.rot90(mask), top, -left - mask.shape[1]
        inked = np.empty((*mask.shape, 4), np.uint8)
        inked[..., :3] = np.rint(255 * np.array(gc.get_rgb()[:3]))
        inked[..., 3] = np.rint(mask * gc.get_alpha())
        foot = int(self.height) - (round(y) + top + mask.shape[0])
        self.draw_image(gc, round(x) + left, foot, inked[::-1])

    def pixels(self) -> NDArray[np.uint8]:
        """Return what is drawn [height, width, 4], RGBA."""
        return np.asarray(self.buffer_rgba())  # type: ignore[no-untyped-call]

    def _size(self, prop: FontProperties) -> float:
        return float(prop.get_size_in_points() * self.dpi / POINTS)


def write(
    picture: NDArray[np.uint8], text: str, place: tuple[float, float], ink: str, size: float
) -> None:
    """Write on RGB pixels [height, width, 3]; what lies beyond their edges is left out.

    Args:
        picture: is written on.
        text: on one line.
        place: where its line begins, from the left and from above.
        ink: a colour.
        size: of its letters, in pixels.
    """
    mask, left, top = letters(text, size)
    paint(picture, mask, round(place[0]) + left, round(place[1]) + top, ink)


def paint(
    picture: NDArray[np.uint8], mask: NDArray[np.uint8], left: int, top: int, ink: str
) -> None:
    """Mix a colour into a picture's pixels, by a mask [height, width] whose corner is told."""
    mask = mask[max(-top, 0) :, max(-left, 0) :]
    part = picture[max(top, 0) :, max(left, 0) :][: mask.shape[0], : mask.shape[1]]
    share = mask[: part.shape[0], : part.shape[1], None] / 255
    part[:] = np.rint(part + share * (np.array(ImageColor.getrgb(ink)) - part))


@lru_cache(KEPT)
def letters(text: str, size: float) -> tuple[NDArray[np.uint8], int, int]:
    """Return how far a text covers each pixel [height, width], and its corner from its start."""
    font = pillow_font(size, text)
    left, top, right, bottom = map(int, font.getbbox(text, anchor="ls"))
    picture = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(picture).text((-left, -top), text, 255, font, anchor="ls")
    return np.array(picture), left, top
