"""From the scores of an image's patches to the image's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import Diagonal
from gad_bench.gaussian.metric import Metric
from gad_bench.gaussian.samples import Samples
from gad_bench.patches.maps import Grids, Vector

LARGEST_SMOOTHING = 2.0**11  # positions, as many as the side of the largest grid


class FittedImageScore(Protocol):
    """What makes one score of a grid of scores."""

    def of(self, grids: Grids) -> Vector:
        """Return the images' scores [images] of grids [images, h, w]."""


class ImageScore(Protocol):
    """A way to make one score of a grid of scores."""

    def fit(self, training: Iterable[Grids]) -> FittedImageScore:
        """Fit on the grids of the training images, which are computed as they are asked for."""


@dataclass(frozen=True, kw_only=True)
class Maximum:
    """The highest score, after smoothing.

    Attributes:
        smoothing: standard deviation of the Gaussian, in positions of the grid; 0 for none.
    """

    smoothing: float

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing <= LARGEST_SMOOTHING:
            raise UserError(
                f"image_score.smoothing must lie in [0, {LARGEST_SMOOTHING:g}], "
                f"not {self.smoothing}"
            )

    def fit(self, training: Iterable[Grids]) -> Maximum:  # noqa: ARG002
        """Need nothing of the training images."""
        return self

    def of(self, grids: Grids) -> Vector:
        """Return the images' scores [images]."""
        return self.smoothed(grids, axes=(1, 2)).max(axis=(1, 2))

    def smoothed(self, values: Grids, axes: tuple[int, ...]) -> Grids:
        """Return values smoothed along some axes."""
        if self.smoothing == 0:
            return values
        from scipy.ndimage import gaussian_filter

        return np.asarray(gaussian_filter(values, self.smoothing, axes=axes))


@dataclass(frozen=True, kw_only=True)
class MeanOfHighest:
    """The mean of the highest scores.

    Attributes:
        share: of the positions, in (0, 1], rounded up to whole ones; 1 for the mean of all.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(f"image_score.share must lie in (0, 1], not {self.share}")

    def fit(self, training: Iterable[Grids]) -> MeanOfHighest:  # noqa: ARG002
        """Need nothing of the training images."""
        return self

    def count(self, positions: int) -> int:
        """Return how many of the positions are averaged."""
        return max(int(np.ceil(self.share * positions * (1 - 1e-12))), 1)

    def of(self, grids: Grids) -> Vector:
        """Return the images' scores [images]."""
        flat = grids.reshape(len(grids), -1)
        count = self.count(flat.shape[1])
        return np.partition(flat, -count, axis=1)[:, -count:].mean(axis=1)


@dataclass(frozen=True, kw_only=True)
class MapStatistics:
    """How far three statistics of a grid lie from the training images': a diagonal Gaussian.

    They are the standard deviation, the mean of the highest scores and the total variation (the
    mean absolute difference between neighbours, down plus across). The score is the root mean
    square of their standardised deviations; one that is the same for all training images is left
    out. Where the training images themselves make up the whole bank of a nearest neighbour search,
    their grids are 0, and there is nothing to fit.

    Source: StructCore (arXiv 2602.17048), its statistics.

    Attributes:
        share: of the positions whose mean is the second statistic, in (0, 1].
    """

    share: float

    def __post_init__(self) -> None:
        MeanOfHighest(share=self.share)

    def fit(self, training: Iterable[Grids]) -> FittedMapStatistics:
        """Fit the statistics' means and variances.

        Raises:
            UserError: the training images' grids are all alike.
        """
        values = np.concatenate([_statistics(grids, self.share) for grids in training])
        if not np.ptp(values, axis=0).any():
            raise UserError(
                f"image_score=map_statistics: the maps of the {len(values)} training images are "
                "all alike, so nothing can be fitted: use more images or image_score=maximum"
            )
        return FittedMapStatistics(share=self.share, metric=Diagonal().fit(Samples(values)))


@dataclass(frozen=True, kw_only=True)
class FittedMapStatistics:
    """`MapStatistics`, fitted."""

    share: float
    metric: Metric

    def of(self, grids: Grids) -> Vector:
        """Return the images' scores [images]."""
        return self.metric.distance(_statistics(grids, self.share))


def _statistics(grids: Grids, share: float) -> Grids:
    """Return standard deviation, mean of the highest and total variation [images, 3]."""
    variation = sum(
        np.abs(np.diff(grids, axis=axis)).mean(axis=(1, 2)) if grids.shape[axis] > 1 else 0.0
        for axis in (1, 2)
    )
    deviation = grids.std(axis=(1, 2))
    highest = MeanOfHighest(share=share).of(grids)
    return np.stack([deviation, highest, variation * np.ones(len(grids))], axis=1)
