"""Detectors on patches: from normal images' maps to scores at each position, and of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Size
from gad_bench.patches.embedding import Embedding, PatchStream, check_embedding
from gad_bench.patches.heat_maps import HeatMaps, check_sigma
from gad_bench.patches.image_score import FittedImageScore
from gad_bench.patches.maps import Grids, Maps, MapStream, Patches, Vector


class PatchScorer(ABC):
    """What knows normal vectors; a dataclass of arrays, so that it can be saved."""

    @abstractmethod
    def grids(self, patches: Patches) -> Grids:
        """Return the scores [images, h, w] of vectors [images, h, w, dim]."""

    def weights(self, patches: Patches, grids: Grids) -> Vector:  # noqa: ARG002
        """Return what each image's score is multiplied by [images]."""
        return np.ones(len(grids))


@dataclass(frozen=True, kw_only=True)
class PatchScores:
    """Scores of some images, higher is more anomalous.

    Attributes:
        grids: at each position of the grid, float64 [images, h, w], neither enlarged nor smoothed.
        images: the images' own, float64 [images].
    """

    grids: Grids
    images: Vector


@dataclass(frozen=True, kw_only=True)
class FittedPatchDetector:
    """A patch detector that knows what is normal.

    Attributes:
        embedding: of maps as vectors.
        width: the length of a vector.
        scorer: of vectors.
        image_score: of the scores at all positions.
        sigma: of the Gaussian that smooths the heat map, in pixels of the backbone's input.
    """

    embedding: Embedding
    width: int
    scorer: PatchScorer
    image_score: FittedImageScore
    sigma: float

    def patch_scores(self, maps: Maps) -> Grids:
        """Return the heat maps float64 [images, h, w] on the grid, neither enlarged nor smoothed.

        Raises:
            UserError: the maps are not like the fitted ones, or not finite.
        """
        return self.scorer.grids(self._embedded(maps))

    def score(self, maps: Maps) -> PatchScores:
        """Return the heat maps and the images' scores.

        Raises:
            UserError: the maps are not like the fitted ones, or not finite.
        """
        patches = self._embedded(maps)
        grids = self.scorer.grids(patches)
        images = self.image_score.of(grids) * self.scorer.weights(patches, grids)
        return PatchScores(grids=grids, images=images)

    def heat_maps(self, grids: Grids, input_size: Size) -> HeatMaps:
        """Return scores [images, h, w] as heat maps of an input of that size."""
        return HeatMaps(grids=grids.astype(np.float32), input_size=input_size, sigma=self.sigma)

    def _embedded(self, maps: Maps) -> Patches:
        patches = self.embedding.apply(maps)
        if patches.shape[-1] != self.width:
            raise UserError(
                f"the maps to score have {patches.shape[-1]} channels, "
                f"those that were fitted had {self.width}"
            )
        return patches


@dataclass(frozen=True, kw_only=True)
class PatchDetector(ABC):
    """What all patch detectors share: an embedding before, an image score after.

    Attributes:
        blocks: whose maps, numbered from 0; None for all that are given.
        neighbourhood: positions a side that each vector is averaged over, odd; 1 for none.
        grid: positions along the map's height; None for the finest block's.
        averaged: whether the blocks' vectors are averaged instead of joined.
        normalisation: a `Normalisation` of the vectors; Any because the typed config knows no
            protocols.
        image_score: an `ImageScore`.
        memory_limit: GiB that what is fitted may take.
        sigma: of the Gaussian that smooths the heat map, in pixels of the backbone's input; the
            image's score is by the grid, and `image_score` smooths that for itself.
    """

    blocks: list[int] | None
    neighbourhood: int
    grid: int | None
    averaged: bool
    normalisation: Any
    image_score: Any
    memory_limit: float
    sigma: float = 4.0

    def __post_init__(self) -> None:
        check_embedding(self.blocks, self.neighbourhood, self.grid)
        if not self.memory_limit > 0:
            raise UserError(f"detector.memory_limit must be more than 0, not {self.memory_limit}")
        check_sigma("detector.sigma", self.sigma)

    def fit(self, maps: MapStream) -> FittedPatchDetector:
        """Fit on normal images' maps, a batch at a time.

        They are iterated over as often as the detector needs, and once more where the image score
        is fitted, too.

        Raises:
            UserError: they admit no fit, are not finite, or need too much memory.
        """
        if maps.images == 0:
            raise UserError("no image to fit: the training set is empty")
        patches = PatchStream(maps, self.embedding(next(iter(maps))))
        scorer = self.learn(patches)
        return FittedPatchDetector(
            embedding=patches.embedding,
            width=patches.shape[-1],
            scorer=scorer,
            image_score=self.image_score.fit(scorer.grids(batch) for batch in patches),
            sigma=self.sigma,
        )

    def embedding(self, maps: Maps) -> Embedding:
        """Return the embedding of such maps.

        Raises:
            UserError: a block is missing, or those to be averaged differ in width.
        """
        embedding = Embedding(
            blocks=list(maps) if self.blocks is None else list(self.blocks),
            neighbourhood=self.neighbourhood,
            grid=self.grid,
            averaged=self.averaged,
            normalisation=self.normalisation,
        )
        embedding.width(maps)
        return embedding

    @abstractmethod
    def learn(self, patches: PatchStream) -> PatchScorer:
        """Learn the vectors of normal images.

        Raises:
            UserError: they admit no fit, or need too much memory.
        """


def vectors(patches: Patches) -> Patches:
    """Return the vectors [images * h * w, dim] of patches."""
    return patches.reshape(-1, patches.shape[-1])
