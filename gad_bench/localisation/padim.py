"""Localisation by a Gaussian per position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.errors import UserError
from gad_bench.features.interface import Features
from gad_bench.features.local import Embedding, LocalSource
from gad_bench.gaussian import Moments
from gad_bench.gaussian.detector import FittedMetric
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.localisation.heat import HeatMaps, Map
from gad_bench.localisation.interface import check_settings


@dataclass(frozen=True, kw_only=True)
class PaDiM:
    """A Gaussian per position of a grid, over randomly chosen channels of all blocks.

    Memory: the channels are chosen and brought to the grid inside the backbone's graph, and each
    position's vectors are summed to moments batch by batch. So whatever the backbone and the number
    of images, the statistics take grid^2 * dimensions^2 * 8 bytes, 184 MB as configured. All 2944
    channels of EfficientNet-B4 would take 160 GB.

    Source: Defard, Setkov, Loesch and Audigier 2021, "PaDiM: a patch distribution modeling
    framework for anomaly detection and localization". Blocks are enlarged bilinearly here.

    Attributes:
        blocks: those that localise, numbered from 0; None for the run's.
        grid: positions a side.
        sigma: of the Gaussian that smooths the heat map, in pixels of the backbone's input.
        dimensions: the number of channels chosen; all where there are no more.
        seed: of the choice.
        normalisation: a `Normalisation`; Any because the typed config knows no protocols.
        covariance: a `Covariance`.
    """

    blocks: list[int] | None
    grid: int
    sigma: float
    dimensions: int
    seed: int
    normalisation: Any
    covariance: Any

    def __post_init__(self) -> None:
        check_settings(self.grid, self.sigma)
        if self.dimensions < 1:
            raise UserError(f"localisation.dimensions must be at least 1, not {self.dimensions}")

    def heat_maps(self, source: LocalSource, train: Sequence[str], test: Sequence[str]) -> HeatMaps:
        """Fit in one pass over the training images, then map the test images.

        Raises:
            UserError: a position's features admit no fit.
        """
        source = source.choose(self.blocks)
        embedding = Embedding(dimensions=self.dimensions, seed=self.seed)
        fitted = self._fit(source.stream(train, self.grid, embedding))
        grids = [self._map(fitted, maps) for (maps,) in source.stream(test, self.grid, embedding)]
        size = source.backbone.image_size()
        return HeatMaps(grids=np.concatenate(grids), input_size=size, sigma=self.sigma)

    def _fit(self, batches: Iterable[tuple[Features, ...]]) -> list[FittedMetric]:
        moments = reduce(
            lambda some, others: [one + other for one, other in zip(some, others, strict=True)],
            (self._moments(maps) for (maps,) in batches),
        )
        moments.reverse()
        return [self._estimate(moments.pop()) for _ in range(len(moments))]  # lets each go

    def _moments(self, maps: Features) -> list[Moments]:
        return [Moments.of(self.normalisation.apply(vectors)) for vectors in _by_position(maps)]

    def _estimate(self, moments: Moments) -> FittedMetric:
        try:
            metric = self.covariance.fit(moments)
        except UserError as error:
            raise UserError(f"localisation, a position: {error}") from error
        return FittedMetric(moments.dimension, self.normalisation, NoReduction(), metric)

    def _map(self, fitted: Sequence[FittedMetric], maps: Features) -> Map:
        """Return the heat maps [images, grid, grid] of a batch."""
        distances = [
            own.score(vectors) for own, vectors in zip(fitted, _by_position(maps), strict=True)
        ]
        return np.stack(distances, axis=1).reshape(-1, self.grid, self.grid).astype(np.float32)


def _by_position(maps: Features) -> Iterator[NDArray[np.float64]]:
    """Yield each position's vectors [images, C] of maps [images, C, grid, grid]."""
    flat = maps.reshape(*maps.shape[:2], -1)
    return iter(np.ascontiguousarray(flat.transpose(2, 0, 1), np.float64))
