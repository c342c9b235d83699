"""A whole detector on patches as one PyTorch module: from pixels to a score and a heat map.

What is linear along an axis (averages over neighbourhoods, grids brought to one, smoothing) is the
product with the same matrix as in the detector. Vectors are float32 as there, and what is computed
of them is float64. Nearest neighbours are candidates by products of matrices, a part of the bank at
a time, whose distances are then computed of the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Backbone, height_and_width
from gad_bench.gaussian import projection as projections
from gad_bench.gaussian.whitening import Whitening
from gad_bench.patches import FittedPatchDetector
from gad_bench.patches import image_score as image_scores
from gad_bench.patches.embedding import BlockSteps, Embedding
from gad_bench.patches.heat_maps import enlarging
from gad_bench.patches.maps import Maps
from gad_bench.patches.memory_bank import COSINE, NearestPatches
from gad_bench.patches.neighbours import EXTRA, Bank
from gad_bench.patches.position_gaussian import PositionGaussians
from gad_bench.patches.shared_gaussian import VectorScorer
from gad_bench.patches.subspace import PooledLikelihood, PooledResiduals, Residuals
from gad_bench.steps.graph import (
    Centred,
    LinearMap,
    metric_module,
    step_module,
    tensor,
    vector_module,
)

ENTRIES = 4096
"""Of a bank, that are compared with all of an image's vectors at once: some 16 MB of distances."""


class PatchGraph(nn.Module):
    """From uint8 [B, H, W, 3] RGB to scores [B] and heat maps [B, H, W], enlarged and smoothed."""

    outputs = ("score", "heat_map")
    rows: Tensor
    columns: Tensor

    def __init__(self, model: FittedPatchDetector, backbone: Backbone, precision: str) -> None:
        super().__init__()
        blocks, sides = model.embedding.blocks, height_and_width(backbone.image_size())
        self.backbone = backbone.build_maps(max(blocks))
        self.blocks = list(blocks)
        maps = self._blank_maps(*sides)
        self.embedding = Embedded(model.embedding, maps, precision)
        shape = model.patch_scores(maps).shape[1:]
        self.scorer = _part(SCORERS, model.scorer)
        self.image_score = _part(IMAGE_SCORES, model.image_score, shape)
        for name, size, side in zip(("rows", "columns"), shape, sides, strict=True):
            self.register_buffer(name, tensor(enlarging(size, side, model.sigma)))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores, higher is more anomalous, and the heat maps."""
        maps = self.backbone(pixels)
        patches = self.embedding([maps[block] for block in self.blocks])
        grids = self.scorer(patches)
        scores = self.image_score(grids) * self.scorer.weights(patches, grids)
        return scores, (self.rows @ grids @ self.columns.T).float()

    def _blank_maps(self, height: int, width: int) -> Maps:
        with torch.inference_mode():
            maps = self.backbone(torch.zeros((1, height, width, 3), dtype=torch.uint8))
        return {block: maps[block].numpy() for block in self.blocks}


class Embedded(nn.Module):
    """`Embedding`, of maps rounded as they are stored."""

    def __init__(self, embedding: Embedding, maps: Maps, precision: str) -> None:
        super().__init__()
        self.is_half = precision == "float16"
        self.averaged = embedding.averaged
        self.parts = nn.ModuleList([AtGrid(steps) for steps in embedding.steps(maps)])
        self.normalisation = step_module(embedding.normalisation)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return vectors float32 [B, h, w, dim]."""
        rounded = [_half(block) for block in maps] if self.is_half else maps
        parts = [part(block) for part, block in zip(self.parts, rounded, strict=True)]
        joined = torch.stack(parts).mean(dim=0) if self.averaged else torch.cat(parts, dim=-1)
        vectors = self.normalisation(joined.flatten(0, 2).double()).float()
        return vectors.reshape(joined.shape)


def _half(values: Tensor) -> Tensor:
    """Return values rounded to float16's 11 bits (Veltkamp's way): OpenVINO drops conversions."""
    above = values * (2.0**13 + 1)
    return above - (above - values)


class AtGrid(nn.Module):
    """`BlockSteps`."""

    channels: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, steps: BlockSteps) -> None:
        super().__init__()
        for name, values in steps._asdict().items():
            kept = values is not None and not isinstance(values, slice)
            self.register_buffer(name, torch.from_numpy(np.array(values)) if kept else None)

    def forward(self, maps: Tensor) -> Tensor:
        """Return vectors [B, h, w, C]."""
        if self.channels is not None:
            maps = maps.index_select(1, self.channels)
        if self.columns is not None:
            maps = maps @ self.columns.T
        if self.rows is not None:
            maps = self.rows @ maps
        return maps.permute(0, 2, 3, 1)


class ScorerGraph(nn.Module):
    """From vectors float32 [B, h, w, dim] to scores float64 [B, h, w]."""

    def weights(self, patches: Tensor, grids: Tensor) -> Tensor | float:  # noqa: ARG002
        """Return what each image's score is multiplied by [B]."""
        return 1.0


class OfVectors(ScorerGraph):
    """`VectorScorer`."""

    def __init__(self, scorer: VectorScorer) -> None:
        super().__init__()
        self.fitted = vector_module(scorer.fitted)

    def forward(self, patches: Tensor) -> Tensor:
        """Return the scores."""
        return self.fitted(patches.flatten(0, 2).double()).reshape(patches.shape[:3])


class OfPositions(ScorerGraph):
    """`PositionGaussians`."""

    whitening: Tensor

    def __init__(self, scorer: PositionGaussians) -> None:
        super().__init__()
        self.centred = Centred(scorer.means)
        self.register_buffer("whitening", tensor(scorer.whitening))

    def forward(self, patches: Tensor) -> Tensor:
        """Return the scores."""
        centred = self.centred(patches.flatten(1, 2).double())
        whitened = centred.transpose(0, 1) @ self.whitening
        return whitened.square().sum(dim=2).sqrt().T.reshape(patches.shape[:3])


class Neighbours(nn.Module):
    """`Bank`, about its entries' mean, so that products do not cancel."""

    entries: Tensor
    squares: Tensor
    mean: Tensor

    def __init__(self, bank: Bank) -> None:
        super().__init__()
        mean = bank.entries.mean(axis=0)
        entries = torch.from_numpy(bank.entries - mean)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("entries", entries)
        self.register_buffer("squares", entries.double().square().sum(dim=1).float())

    def forward(self, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return distances float64 [queries, count], rising, and rows.

        Args:
            queries: vectors about the same mean [queries, dim].
            count: how many; all where there are fewer.
        """
        candidates = self._candidates(queries, min(count + EXTRA, len(self.entries)))
        distances = self.distances(queries, candidates)
        found, places = distances.topk(min(count, len(self.entries)), dim=1, largest=False)
        return found, candidates.gather(1, places)

    def distances(self, queries: Tensor, rows: Tensor) -> Tensor:
        """Return the distances [queries, some] of vectors from entries [queries, some]."""
        entries = self.entry(rows.flatten()).reshape(-1, rows.shape[1], queries.shape[1])
        return (queries[:, None] - entries).double().square().sum(dim=2).sqrt()

    def entry(self, rows: Tensor) -> Tensor:
        """Return entries [rows, dim]."""
        return self.entries.index_select(0, rows)

    def _candidates(self, queries: Tensor, wanted: int) -> Tensor:
        """Return the rows of the nearest by the estimate [queries, wanted]."""
        begins = range(0, len(self.entries), ENTRIES)
        parts = [self._part(queries, begin, wanted) for begin in begins]
        estimates, rows = (torch.cat(one, dim=1) for one in zip(*parts, strict=True))
        return rows.gather(1, estimates.topk(wanted, dim=1, largest=False).indices)

    def _part(self, queries: Tensor, begin: int, wanted: int) -> tuple[Tensor, Tensor]:
        part = slice(begin, begin + ENTRIES)
        squared = self.squares[part] - 2 * queries @ self.entries[part].T
        estimates, rows = squared.topk(min(wanted, squared.shape[1]), dim=1, largest=False)
        return estimates, rows + begin


class OfNeighbours(ScorerGraph):
    """`NearestPatches`."""

    def __init__(self, scorer: NearestPatches) -> None:
        super().__init__()
        steps = scorer.step.steps if isinstance(scorer.step, Whitening) else [scorer.step]
        self.step = nn.Sequential(*map(step_module, steps))
        self.bank = Neighbours(scorer.bank)
        self.neighbours, self.reweighting = scorer.neighbours, scorer.reweighting
        self.cosine = scorer.metric == COSINE

    def forward(self, patches: Tensor) -> Tensor:
        """Return the scores."""
        found, _ = self.bank(self._mapped(patches.flatten(0, 2)), self.neighbours)
        distances = found.square() / 2 if self.cosine else found
        return distances.mean(dim=1).reshape(patches.shape[:3])

    def weights(self, patches: Tensor, grids: Tensor) -> Tensor | float:
        """Return PatchCore's weights [B]; see `NearestPatches.weights`."""
        if self.reweighting == 1:
            return 1.0
        flat = patches.flatten(1, 2)
        highest = grids.flatten(1).argmax(dim=1)
        chosen = highest[:, None, None].expand(-1, 1, flat.shape[2])
        farthest = self._mapped(flat.gather(1, chosen)[:, 0])
        distances, rows = self.bank(farthest, 1)
        _, around = self.bank(self.bank.entry(rows[:, 0]), self.reweighting)
        farther = self.bank.distances(farthest, around) - distances
        return -torch.expm1(-torch.logsumexp(farther, dim=1))

    def _mapped(self, vectors: Tensor) -> Tensor:
        mapped: Tensor = self.step(vectors.double()).float()
        return mapped - self.bank.mean


class Outside(nn.Module):
    """What of vectors [B, dim] lies outside a subspace."""

    directions: Tensor

    def __init__(self, subspace: projections.Linear) -> None:
        super().__init__()
        self.centred = Centred(subspace.mean)
        self.register_buffer("directions", tensor(subspace.directions))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return vectors [B, dim]."""
        centred = self.centred(vectors)
        return centred - (centred @ self.directions) @ self.directions.T


class OfResiduals(ScorerGraph):
    """`Residuals`."""

    def __init__(self, scorer: Residuals) -> None:
        super().__init__()
        self.outside = Outside(scorer.subspace)

    def forward(self, patches: Tensor) -> Tensor:
        """Return the scores."""
        residual = self.outside(patches.flatten(0, 2).double())
        return residual.square().sum(dim=1).reshape(patches.shape[:3])


class OfPooledResiduals(ScorerGraph):
    """`PooledResiduals`."""

    def __init__(self, scorer: PooledResiduals) -> None:
        super().__init__()
        self.pooling, self.outside = scorer.pooling, Outside(scorer.subspace)

    def forward(self, patches: Tensor) -> Tensor:
        """Return the scores [B, pooled h, pooled w]."""
        pooled = _pooled(patches, self.pooling)
        return self.outside(pooled.flatten(1)).reshape(pooled.shape).square().sum(dim=3)


class OfLikelihood(ScorerGraph):
    """`PooledLikelihood`."""

    def __init__(self, scorer: PooledLikelihood) -> None:
        super().__init__()
        self.pooling, self.constant = scorer.pooling, scorer.constant
        self.distance = nn.Sequential(LinearMap(scorer.subspace), metric_module(scorer.gaussian))

    def forward(self, patches: Tensor) -> Tensor:
        """Return the scores [B, 1, 1]."""
        distances = self.distance(_pooled(patches, self.pooling).flatten(1))
        return (distances.square() / 2 + self.constant)[:, None, None]


def _pooled(patches: Tensor, side: int) -> Tensor:
    """Return the means of squares of positions float64 [B, h // side, w // side, dim]."""
    rows, columns = patches.shape[1] // side, patches.shape[2] // side
    whole = patches[:, : rows * side, : columns * side].double()
    squares = whole.reshape(-1, rows, side, columns, side, patches.shape[3])
    return squares.mean(dim=(2, 4))


class HighestScore(nn.Module):
    """`Maximum`."""

    rows: Tensor
    columns: Tensor

    def __init__(self, score: image_scores.Maximum, shape: tuple[int, int]) -> None:
        super().__init__()
        for name, size in zip(("rows", "columns"), shape, strict=True):
            self.register_buffer(name, tensor(score.smoothed(np.eye(size), axes=(0,))))

    def forward(self, grids: Tensor) -> Tensor:
        """Return the scores [B]."""
        return (self.rows @ grids @ self.columns.T).amax(dim=(1, 2))


class HighestMean(nn.Module):
    """`MeanOfHighest`."""

    def __init__(self, score: image_scores.MeanOfHighest, shape: tuple[int, int]) -> None:
        super().__init__()
        self.count = score.count(math.prod(shape))

    def forward(self, grids: Tensor) -> Tensor:
        """Return the scores [B]."""
        return grids.flatten(1).topk(self.count, dim=1).values.mean(dim=1)


class MapStatistics(nn.Module):
    """`FittedMapStatistics`."""

    def __init__(self, score: image_scores.FittedMapStatistics, shape: tuple[int, int]) -> None:
        super().__init__()
        self.highest = HighestMean(image_scores.MeanOfHighest(share=score.share), shape)
        self.distance = metric_module(score.metric)
        self.axes = [axis for axis in (1, 2) if shape[axis - 1] > 1]

    def forward(self, grids: Tensor) -> Tensor:
        """Return the scores [B]."""
        highest = self.highest(grids)
        lines = [grids.transpose(1, axis) for axis in self.axes]
        steps = [(own[:, 1:] - own[:, :-1]).abs().mean(dim=(1, 2)) for own in lines]
        variation = sum(steps, torch.zeros_like(highest))
        deviation = grids.flatten(1).std(dim=1, correction=0)
        distance: Tensor = self.distance(torch.stack([deviation, highest, variation], dim=1))
        return distance


SCORERS: Mapping[type, Any] = {
    VectorScorer: OfVectors,
    PositionGaussians: OfPositions,
    NearestPatches: OfNeighbours,
    Residuals: OfResiduals,
    PooledResiduals: OfPooledResiduals,
    PooledLikelihood: OfLikelihood,
}
IMAGE_SCORES: Mapping[type, Any] = {
    image_scores.Maximum: HighestScore,
    image_scores.MeanOfHighest: HighestMean,
    image_scores.FittedMapStatistics: MapStatistics,
}


def _part(kinds: Mapping[type, Any], part: Any, *shape: tuple[int, int]) -> Any:  # noqa: ANN401
    """Return a part as a module.

    Raises:
        UserError: there is none for its kind, such as for one of the user's own.
    """
    if type(part) not in kinds:
        raise UserError(f"{type(part).__name__} cannot be exported: it has no graph")
    return kinds[type(part)](part, *shape)
