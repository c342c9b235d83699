"""Heat maps beside the masks of the defects, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.data.images import image_shape, read_mask
from gad_bench.patches.heat_maps import HeatMaps, Map

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class MaskedMaps:
    """The test images' heat maps with their masks, each at its image's own size.

    Of an anomalous image without a mask, or with an empty one, nobody knows which pixels are
    defective. It counts neither way: all its pixels are left out. A good image's mask is empty.

    Attributes:
        heat: the heat maps.
        tested: the images' rows of the catalog.
    """

    heat: HeatMaps
    tested: pd.DataFrame

    def __iter__(self) -> Iterator[tuple[Map, Mask]]:
        """Yield the heat map and the mask of each image whose pixels are known."""
        for row in np.flatnonzero(self.known):
            yield self.heat_map(int(row)), self.mask(int(row))

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """The images' heights and widths."""
        return [image_shape(path) for path in self.tested["path"]]

    @cached_property
    def known(self) -> Mask:
        """Of which images [images] it is known which pixels are defective."""
        anomalous = self.tested["label"].to_numpy() == 1
        return np.array([not a or self.mask(row).any() for row, a in enumerate(anomalous)])

    def heat_map(self, row: int) -> Map:
        """Return an image's heat map."""
        return self.heat.at_size(row, *self.shapes[row])

    def mask(self, row: int) -> Mask:
        """Return an image's mask, empty where it has none."""
        path = self.tested["mask"].iloc[row]
        return read_mask(path, self.shapes[row]) if path else np.zeros(self.shapes[row], np.bool_)
