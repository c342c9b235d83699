"""Localisation by one Gaussian per block, over all positions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import Any

import cv2
import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread, thread_count
from gad_bench.features.interface import Features
from gad_bench.features.local import Image, LocalSource
from gad_bench.gaussian import Moments
from gad_bench.gaussian.detector import FittedMetric
from gad_bench.gaussian.projection import Projection
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.gaussian.statistics import Vector
from gad_bench.patches.heat_maps import HeatMaps, Map, check_settings, joined, vectors


@dataclass(frozen=True, kw_only=True)
class BlockGaussians:
    """`Mahalanobis`, fitted.

    Attributes:
        blocks: those that localise.
        grid: positions a side of the heat map.
        sigma: of the Gaussian that smooths it, in pixels of the backbone's input.
        fitted: the Gaussian of each block.
    """

    blocks: list[int]
    grid: int
    sigma: float
    fitted: list[FittedMetric]

    def heat_maps(self, source: LocalSource, images: Sequence[Image]) -> HeatMaps:
        """Return the heat maps of images, in order."""
        batches = source.choose(self.blocks).stream(images, self.grid)
        grids = [self._mean_over_blocks(batch) for batch in batches]
        size = source.encoder.backbone.image_size()
        return HeatMaps(grids=joined(grids, self.grid), input_size=size, sigma=self.sigma)

    def _mean_over_blocks(self, batch: tuple[Features, ...]) -> Map:
        """Return the heat maps [images, grid, grid] of a batch.

        An image at a time on each thread, so that a map depends neither on the batch that its image
        is in nor on the number of threads.
        """
        with one_thread(), ThreadPoolExecutor(thread_count()) as threads:
            return np.stack(list(threads.map(self._map, zip(*batch, strict=True))))

    def _map(self, blocks: tuple[Features, ...]) -> Map:
        """Return the heat map [grid, grid] of an image's maps [C_i, H_i, W_i]."""
        enlarged = [
            _enlarged(own.score(vectors(maps[None])).reshape(maps.shape[1:]), self.grid)
            for own, maps in zip(self.fitted, blocks, strict=True)
        ]
        return np.mean(enlarged, axis=0, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Mahalanobis:
    """Each position's distance from its block's Gaussian; the mean over blocks is the heat map.

    A block's Gaussian is fitted on the vectors at all positions of all training images, by their
    moments: no more than a batch of maps is in memory.

    Attributes:
        blocks: those that localise, numbered from 0; None for the run's.
        grid: positions a side of the heat map. Finer blocks are averaged down to it before they
            are fitted; the distances of coarser ones are enlarged to it.
        sigma: of the Gaussian that smooths the heat map, in pixels of the backbone's input.
        normalisation: a `Normalisation`; Any because the typed config knows no protocols.
        reduction: a `Reduction`; any but none costs a second pass over the training images.
        covariance: a `Covariance`.
    """

    blocks: list[int] | None
    grid: int
    sigma: float
    normalisation: Any
    reduction: Any
    covariance: Any

    def __post_init__(self) -> None:
        check_settings(self.grid, self.sigma)

    def fit(self, source: LocalSource, train: Sequence[Image]) -> BlockGaussians:
        """Fit in one or two passes over the training images.

        Raises:
            UserError: a block's features admit no fit.
        """
        source = source.choose(self.blocks)
        fitted = self._fit(source, train)
        return BlockGaussians(
            blocks=list(source.blocks), grid=self.grid, sigma=self.sigma, fitted=fitted
        )

    def _fit(self, source: LocalSource, train: Sequence[Image]) -> list[FittedMetric]:
        moments = self._moments(source.stream(train, self.grid), None)
        widths = [own.dimension for own in moments]
        projections = [self.reduction.fit(own) for own in moments]
        if not isinstance(self.reduction, NoReduction):
            moments = self._moments(source.stream(train, self.grid), projections)
        return [
            FittedMetric(width, self.normalisation, projection, self._estimate(block, own))
            for block, width, projection, own in zip(
                source.blocks, widths, projections, moments, strict=True
            )
        ]

    def _estimate(self, block: int, moments: Moments) -> Any:  # noqa: ANN401 - a Metric
        try:
            return self.covariance.fit(moments)
        except UserError as error:
            raise UserError(f"localisation, block {block}: {error}") from error

    def _moments(
        self, batches: Iterable[tuple[Features, ...]], projections: Sequence[Projection] | None
    ) -> list[Moments]:
        """Sum over the positions of all maps, by block, normalised and projected."""

        def of_batch(batch: tuple[Features, ...]) -> list[Moments]:
            steps = projections or [NoReduction()] * len(batch)
            return [
                Moments.of(step.apply(self.normalisation.apply(vectors(maps).astype(np.float64))))
                for step, maps in zip(steps, batch, strict=True)
            ]

        return reduce(_added, map(of_batch, batches))


def _added(some: list[Moments], others: list[Moments]) -> list[Moments]:
    return [one + other for one, other in zip(some, others, strict=True)]


def _enlarged(distances: Vector, grid: int) -> Map:
    """Return distances [H, W] as [grid, grid]."""
    return np.asarray(cv2.resize(distances.astype(np.float32), (grid, grid)), np.float32)
