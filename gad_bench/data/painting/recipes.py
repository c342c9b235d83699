"""Two published ways to paint a defect on a good image, in our own words and numbers beside theirs.

CutPaste is of Li, Sohn, Yoon and Pfister 2021 (arXiv 2104.04015), blending by Perlin noise of
Zavrtanik, Kristan and Skočaj 2021 (DRAEM, arXiv 2108.07610). Neither paper was at hand: what is
known of them here is said at each number. DRAEM takes its textures from a set of its own; here they
are the image's own pixels, shuffled in tiles and recoloured.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

PATCH_AREA = (0.02, 0.15)  # of the image, as in CutPaste
LONGEST = 1 / 0.3  # a patch's sides to one another, as in CutPaste
JITTER = 0.1  # of a patch's brightness, as in CutPaste
MOST_PERIODS = 5  # of the noise along a side, as powers of 2
REACHED = 0.3  # by the noise, within +-0.7, where the defect is
LEAST_DEFECT = 1e-3  # of the image
OPACITY = (0.2, 1.0)  # of the texture
TILES = 8  # a side, that the texture is shuffled in


class Painted(NamedTuple):
    """An image with a defect.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        mask: bool [H, W], where it was changed.
    """

    image: Pixels
    mask: Mask


def cut_and_paste(image: Pixels, generator: np.random.Generator) -> Painted:
    """Paste a patch of the image, a little brighter or darker, elsewhere on it."""
    height, width = image.shape[:2]
    area = generator.uniform(*PATCH_AREA) * height * width
    ratio = np.exp(generator.uniform(-np.log(LONGEST), np.log(LONGEST)))
    tall = int(np.clip(round(np.sqrt(area * ratio)), 1, height - 1))
    wide = int(np.clip(round(np.sqrt(area / ratio)), 1, width - 1))
    (top, left), (to_top, to_left) = (
        (generator.integers(height - tall + 1), generator.integers(width - wide + 1))
        for _ in range(2)
    )
    patch = image[top : top + tall, left : left + wide] * generator.uniform(1 - JITTER, 1 + JITTER)
    painted = image.copy()
    painted[to_top : to_top + tall, to_left : to_left + wide] = np.clip(patch.round(), 0, 255)
    mask = np.zeros((height, width), np.bool_)
    mask[to_top : to_top + tall, to_left : to_left + wide] = True
    return Painted(painted, mask & (painted != image).any(axis=2))


def noise_blend(image: Pixels, generator: np.random.Generator) -> Painted:
    """Blend a texture into the image, where Perlin noise is high around one place.

    DRAEM blends wherever it is high, which covers the image with defects; one is kept here.
    """
    mask = _blob(image.shape[:2], generator)
    opacity = generator.uniform(*OPACITY)
    blended = (1 - opacity) * image + opacity * _texture(image, generator)
    painted = np.where(mask[..., None], blended.round(), image).astype(np.uint8)
    return Painted(painted, mask & (painted != image).any(axis=2))


def perlin_noise(
    shape: tuple[int, int], periods: tuple[int, int], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return noise of random gradients on a grid, faded in between (Perlin 2002).

    Args:
        shape: height and width.
        periods: cells of the grid along them.
        generator: of the gradients.

    Returns:
        float64 [height, width], 0 at the grid's corners, within +-0.71.
    """
    angles = generator.uniform(0, 2 * np.pi, size=(periods[0] + 1, periods[1] + 1))
    y, x = (np.arange(count) * cells / count for count, cells in zip(shape, periods, strict=True))
    row, column = y.astype(int), x.astype(int)
    down, across = (y - row)[:, None], (x - column)[None, :]

    def corner(below: int, right: int) -> NDArray[np.float64]:
        angle = angles[np.ix_(row + below, column + right)]
        return np.asarray(np.sin(angle) * (down - below) + np.cos(angle) * (across - right))

    faded_down, faded_across = (t**3 * (10 + t * (6 * t - 15)) for t in (down, across))
    upper, lower = (
        corner(below, 0) + faded_across * (corner(below, 1) - corner(below, 0)) for below in (0, 1)
    )
    return np.asarray(upper + faded_down * (lower - upper))


def _blob(shape: tuple[int, int], generator: np.random.Generator) -> Mask:
    """Return one of the places where noise is high, no matter which."""
    import cv2

    while True:
        down, across = (2 ** int(power) for power in generator.integers(1, MOST_PERIODS + 1, 2))
        high = perlin_noise(shape, (down, across), generator) > REACHED
        count, labels = cv2.connectedComponents(high.astype(np.uint8))
        sizes = np.bincount(labels.ravel(), minlength=count)[1:]
        large = 1 + np.flatnonzero(sizes >= LEAST_DEFECT * labels.size)
        if len(large):
            return np.asarray(labels == generator.choice(large))


def _texture(image: Pixels, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the image's tiles in another order, in other colours."""
    import cv2

    height, width = image.shape[:2]
    side = TILES * (max(height, width) // TILES + 1)
    even = cv2.resize(image, (side, side))
    step = side // TILES
    tiles = even.reshape(TILES, step, TILES, step, 3).swapaxes(1, 2).reshape(-1, step, step, 3)
    shuffled = tiles[generator.permutation(len(tiles))].reshape(TILES, TILES, step, step, 3)
    texture = shuffled.swapaxes(1, 2).reshape(side, side, 3)[:height, :width].astype(np.float64)
    if generator.random() < 0.5:
        texture = 255 - texture
    return np.asarray(np.clip(texture * generator.uniform(0.5, 1.5, size=3), 0, 255))
