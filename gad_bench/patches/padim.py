"""Localisation by a Gaussian per position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from typing import Any

import numpy as np

from gad_bench.base.arrays import join_up
from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread
from gad_bench.features.interface import Features
from gad_bench.features.local import Embedding, Image, LocalSource
from gad_bench.gaussian import Moments, Samples
from gad_bench.gaussian.detector import FittedMetric
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.gaussian.statistics import Matrix, Statistics
from gad_bench.patches.heat_maps import HeatMaps, Map, check_settings, joined

LARGEST_STRIDE = 16
"""Of the blocks that localise unless they are named: that of the paper's layers 1 to 3."""


@dataclass(frozen=True, kw_only=True)
class PositionGaussians:
    """`PaDiM`, fitted.

    Attributes:
        blocks: those that localise.
        grid: positions a side.
        sigma: of the Gaussian that smooths the heat map, in pixels of the backbone's input.
        embedding: the channels.
        fitted: the Gaussian of each position, row by row.
    """

    blocks: list[int]
    grid: int
    sigma: float
    embedding: Embedding
    fitted: list[FittedMetric]

    def heat_maps(self, source: LocalSource, images: Sequence[Image]) -> HeatMaps:
        """Return the heat maps of images, in order."""
        batches = source.choose(self.blocks).stream(images, self.grid, self.embedding)
        grids = [self._map(maps) for maps in _grouped(batches, self.embedding.dimensions)]
        size = source.encoder.backbone.image_size()
        return HeatMaps(grids=joined(grids, self.grid), input_size=size, sigma=self.sigma)

    def _map(self, maps: Features) -> Map:
        """Return the heat maps [images, grid, grid] of a batch."""
        pairs = zip(self.fitted, _by_position(maps), strict=True)
        with one_thread():
            distances = [own.score(vectors) for own, vectors in pairs]
        return np.stack(distances, axis=1).reshape(-1, self.grid, self.grid).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PaDiM:
    """A Gaussian per position of a grid, over randomly chosen channels of all blocks.

    Memory: the channels are chosen and brought to the grid inside the backbone's graph, and each
    position's vectors are summed to moments, as many images at a time as there are dimensions. So
    whatever the backbone and the number of images, statistics and the images at hand each take
    grid^2 * dimensions^2 * 8 bytes, 184 MB as configured. With all 2944 channels of EfficientNet-B4
    that would be 160 GB.

    Time: on matrices this small BLAS's threads wait for each other. On a busy machine two take 30
    times as long for the eigenvalues of 48 x 48 as one.

    Source: Defard, Setkov, Loesch and Audigier 2021, "PaDiM: a patch distribution modeling
    framework for anomaly detection and localization". Blocks are enlarged bilinearly here.

    Attributes:
        blocks: those that localise, numbered from 0; None for the run's, but for the coarse ones,
            of more than 16 pixels of the input from position to position.
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

    def fit(self, source: LocalSource, train: Sequence[Image]) -> PositionGaussians:
        """Fit in one pass over the training images.

        Raises:
            UserError: a position's features admit no fit.
        """
        source = source.choose(self.blocks)
        embedding = Embedding(
            dimensions=self.dimensions,
            seed=self.seed,
            largest_stride=None if self.blocks else LARGEST_STRIDE,
        )
        return PositionGaussians(
            blocks=list(source.blocks),
            grid=self.grid,
            sigma=self.sigma,
            embedding=embedding,
            fitted=self._fit(source.stream(train, self.grid, embedding)),
        )

    def _fit(self, batches: Iterable[tuple[Features, ...]]) -> list[FittedMetric]:
        """Fit few images by their vectors themselves, which take no more memory than moments."""
        groups = _grouped(batches, self.dimensions)
        first, second = next(groups), next(groups, None)
        if second is None:
            with one_thread():
                return [self._estimate(Samples(vectors)) for vectors in self._by_position(first)]
        moments = reduce(
            lambda some, others: [one + other for one, other in zip(some, others, strict=True)],
            map(self._moments, chain([first, second], groups)),
        )
        moments.reverse()
        with one_thread():
            return [self._estimate(moments.pop()) for _ in range(len(moments))]  # lets each go

    def _moments(self, maps: Features) -> list[Moments]:
        with one_thread():
            return [Moments.of(vectors) for vectors in self._by_position(maps)]

    def _estimate(self, statistics: Statistics) -> FittedMetric:
        try:
            metric = self.covariance.fit(statistics)
        except UserError as error:
            raise UserError(f"localisation, a position: {error}") from error
        return FittedMetric(statistics.dimension, self.normalisation, NoReduction(), metric)

    def _by_position(self, maps: Features) -> Iterator[Matrix]:
        return map(self.normalisation.apply, _by_position(maps))


def _grouped(batches: Iterable[tuple[Features, ...]], count: int) -> Iterator[Features]:
    """Join batches of one map each to as many images or more: of few, calls take all the time."""
    return join_up((maps for (maps,) in batches), count)


def _by_position(maps: Features) -> Iterator[Matrix]:
    """Yield each position's vectors [images, C] of maps [images, C, grid, grid]."""
    flat = maps.reshape(*maps.shape[:2], -1)
    return iter(np.ascontiguousarray(flat.transpose(2, 0, 1), np.float64))
