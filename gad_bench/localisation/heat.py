"""Heat maps: distances on a grid, brought to the size of their images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class HeatMaps:
    """The heat maps of some images.

    They are kept on their grid, some 10 kB an image, and enlarged one at a time.

    Attributes:
        grids: distances [images, grid, grid].
        input_size: side of the backbone's square input, in pixels.
        sigma: standard deviation of the Gaussian that smooths them, in pixels of that input.
    """

    grids: Map
    input_size: int
    sigma: float

    def __len__(self) -> int:
        """The number of images."""
        return len(self.grids)

    def maxima(self) -> Map:
        """Return each image's highest smoothed distance [images]."""
        side = self.input_size
        highest = [self.at_size(row, side, side).max() for row in range(len(self))]
        return np.array(highest, np.float32)

    def at_size(self, row: int, height: int, width: int) -> Map:
        """Return an image's heat map [height, width].

        Enlarged to the backbone's input, smoothed there as PaDiM does, then brought to the given
        size, all bilinearly: so smoothing is round on the square input and follows the image's
        shape, and the defects' masks are never resized.
        """
        side = (self.input_size, self.input_size)
        heat = cv2.resize(self.grids[row], side, interpolation=cv2.INTER_LINEAR)
        if self.sigma > 0:
            heat = cv2.GaussianBlur(heat, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT)
        return np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR))
