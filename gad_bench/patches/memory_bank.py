"""Detectors by the nearest of the normal vectors: PatchCore, AnomalyDINO and whitened ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.normalisation import UnitLength
from gad_bench.gaussian.projection import Projection
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.gaussian.whitening import whitening
from gad_bench.patches.coreset import greedy_centres
from gad_bench.patches.detector import PatchDetector, PatchScorer, vectors
from gad_bench.patches.embedding import PatchStream
from gad_bench.patches.maps import Grids, Patches, Vector, require_memory
from gad_bench.patches.neighbours import COPIES, Bank
from gad_bench.patches.shared_gaussian import fit_metric, require_moments

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

DISTORTION = 0.9
"""Of distances by a random projection, where its dimensions are left to the number of vectors."""
EUCLIDEAN, COSINE = "euclidean", "cosine"


@dataclass(frozen=True, kw_only=True)
class NearestPatches(PatchScorer):
    """The mean distance from the nearest vectors of a bank.

    Attributes:
        bank: the vectors, after the step.
        step: a `Projection` that comes first; Any because it is read from files, too.
        neighbours: how many of them.
        reweighting: entries near the nearest one that weigh an image's score; 1 for no weights.
        metric: "euclidean", or "cosine" for half the squared distance of vectors of length one.
    """

    bank: Bank
    step: Any
    neighbours: int
    reweighting: int = 1
    metric: str = EUCLIDEAN

    def grids(self, patches: Patches) -> Grids:
        """Return the distances [images, h, w]."""
        found, _ = self.bank.nearest(_mapped(self.step, vectors(patches)), self.neighbours)
        distances = found**2 / 2 if self.metric == COSINE else found
        return distances.mean(axis=1).reshape(patches.shape[:3])

    def weights(self, patches: Patches, grids: Grids) -> Vector:
        """Return PatchCore's weights of the images' scores [images] (Roth et al. 2022, equation 7).

        With x an image's vector of the highest score and m its nearest entry: 1 less the share of
        exp |x - m| in the sum of exp |x - n| over the b entries n nearest to m, itself one of them.
        """
        if self.reweighting == 1:
            return np.ones(len(grids))
        flat = patches.reshape(len(patches), -1, patches.shape[-1])
        highest = grids.reshape(len(grids), -1).argmax(axis=1)
        farthest = _mapped(self.step, flat[np.arange(len(flat)), highest])
        distances, rows = self.bank.nearest(farthest, 1)
        _, around = self.bank.nearest(self.bank.entries[rows[:, 0]], self.reweighting)
        farther = self.bank.distances(farthest, around) - distances
        return -np.expm1(-np.logaddexp.reduce(farther, axis=1))


@dataclass(frozen=True, kw_only=True)
class PatchNeighbours(PatchDetector):
    """The mean distance from the nearest of all training vectors (AnomalyDINO).

    One pass. Memory: the bank, images * h * w * dim * 4 bytes, and 1.5 times that for the search.

    Source: Damm et al. 2025, "AnomalyDINO: boosting patch-based few-shot anomaly detection with
    DINOv2", section 3.

    Attributes:
        neighbours: how many of them.
        metric: "euclidean", or "cosine" for 1 less the cosine of the angle (a vector of zeros is
            1/2 from all others).
    """

    neighbours: int
    metric: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_count("detector.neighbours", self.neighbours)
        if self.metric not in (EUCLIDEAN, COSINE):
            raise UserError(f"detector.metric must be {EUCLIDEAN} or {COSINE}, not {self.metric}")

    def learn(self, patches: PatchStream) -> NearestPatches:
        """Keep all vectors.

        Raises:
            UserError: they do not fit into memory, or are fewer than the neighbours.
        """
        step = UnitLength() if self.metric == COSINE else NoReduction()
        height, width, dimension = patches.shape
        count = patches.images * height * width
        _check_bank(count, self.neighbours)
        require_memory(
            COPIES * 4 * count * dimension,
            self.memory_limit,
            f"a bank of {count} vectors of {dimension} features",
            "lower detector.grid, name fewer blocks (detector.blocks) or use detector=patchcore",
        )
        bank = _gathered(patches, step, np.arange(count))
        return NearestPatches(bank=bank, step=step, neighbours=self.neighbours, metric=self.metric)


@dataclass(frozen=True, kw_only=True)
class PatchCore(PatchDetector):
    """The mean distance from the nearest entries of a coreset of all training vectors.

    Two passes: the first projects all vectors at random and chooses entries by greedy k-centre, the
    second gathers them. Memory: the greater of images * h * w * projection * 8 bytes while the
    entries are chosen and 2.5 times the bank, share * images * h * w * dim * 4 bytes.

    Source: Roth et al. 2022, "Towards total recall in industrial anomaly detection", section 3. Its
    average over neighbourhoods is taken of each channel alone.

    Attributes:
        share: of the vectors that are kept, in (0, 1]; rounded down to whole ones, at least one.
        projection: dimensions of the random projection; None for as many as keep distances to
            within 90 % by the lemma of Johnson and Lindenstrauss, as anomalib. Vectors of no more
            features are not projected.
        neighbours: entries over which the distance is averaged.
        reweighting: entries near the nearest one that weigh an image's score; 1 for no weights.
        seed: of the projection and of the first entry.
    """

    share: float
    projection: int | None
    neighbours: int
    reweighting: int
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UserError(f"detector.share must lie in (0, 1], not {self.share}")
        if self.projection is not None:
            _check_count("detector.projection", self.projection)
        _check_count("detector.neighbours", self.neighbours)
        _check_count("detector.reweighting", self.reweighting)

    def learn(self, patches: PatchStream) -> NearestPatches:
        """Choose the coreset and keep it.

        Raises:
            UserError: it does not fit into memory, or is smaller than the neighbours asked for.
        """
        return self._learn(patches, NoReduction(), patches.shape[-1])

    def _learn(self, patches: PatchStream, step: Projection, dimension: int) -> NearestPatches:
        height, width, _ = patches.shape
        count = patches.images * height * width
        kept = max(int(self.share * count * (1 + 1e-12)), 1)
        _check_bank(kept, self.neighbours)
        projected = min(self._dimensions(count), dimension)
        require_memory(
            max(8.0 * count * projected, COPIES * 4 * kept * dimension),
            self.memory_limit,
            f"a coreset of {kept} out of {count} vectors of {dimension} features",
            "lower detector.share, detector.projection or detector.grid",
        )
        rows = np.arange(count)
        if kept < count:
            rows = np.sort(self._chosen(patches, step, (count, dimension, projected), kept))
        return NearestPatches(
            bank=_gathered(patches, step, rows),
            step=step,
            neighbours=self.neighbours,
            reweighting=self.reweighting,
        )

    def _dimensions(self, count: int) -> int:
        """Return those of the projection (Dasgupta and Gupta 2003, theorem 2.1)."""
        if self.projection is not None:
            return self.projection
        return int(4 * np.log(count) / (DISTORTION**2 / 2 - DISTORTION**3 / 3)) or 1

    def _chosen(
        self, patches: PatchStream, step: Projection, shape: tuple[int, int, int], kept: int
    ) -> Rows:
        """Return the coreset's rows in the order of choice."""
        count, dimension, projected = shape
        generator = np.random.default_rng(self.seed)
        directions = generator.standard_normal((dimension, projected))
        points, begin = np.empty((count, projected)), 0
        for batch in patches:
            values = step.apply(vectors(batch).astype(np.float64))
            end = begin + len(values)
            points[begin:end] = values @ directions if projected < dimension else values
            begin = end
        return greedy_centres(points, kept, int(generator.integers(count)))


@dataclass(frozen=True, kw_only=True)
class WhitenedPatchCore(PatchCore):
    """PatchCore on whitened vectors: the distances are Mahalanobis'.

    One pass for the moments of all vectors, one more after a reduction, then PatchCore's two.
    Memory: PatchCore's, and some three times dim^2 * 8 bytes before.

    Source: Mahalanobis PatchCore (arXiv 2605.27748), the method.

    Attributes:
        reduction: a `Reduction`; Any because the typed config knows no protocols.
        covariance: a `Covariance` that needs no more than mean and scatter.
    """

    reduction: Any
    covariance: Any

    def learn(self, patches: PatchStream) -> NearestPatches:
        """Whiten by all vectors, then choose the coreset and keep it.

        Raises:
            UserError: the covariance does not exist, or as PatchCore's.
        """
        require_moments(patches.shape[-1], self.memory_limit)
        projection, metric = fit_metric(patches, self.reduction, self.covariance)
        step = whitening(metric).after(projection)
        dimension = step.apply(np.zeros((1, patches.shape[-1]))).shape[1]
        return self._learn(patches, step, dimension)


def _mapped(step: Projection, values: Patches) -> Patches:
    if isinstance(step, NoReduction):
        return values
    return step.apply(values.astype(np.float64)).astype(np.float32)


def _gathered(patches: PatchStream, step: Projection, rows: Rows) -> Bank:
    """Return some of all vectors, by rising rows, as a bank."""
    begin, entries = 0, np.empty((len(rows), 0), np.float32)
    for batch in patches:
        values = vectors(batch)
        first, last = np.searchsorted(rows, [begin, begin + len(values)])
        mapped = _mapped(step, values[rows[first:last] - begin])
        if begin == 0:
            entries = np.empty((len(rows), mapped.shape[1]), np.float32)
        entries[first:last] = mapped
        begin += len(values)
    return Bank(entries=entries)


def _check_count(key: str, value: int) -> None:
    if value < 1:
        raise UserError(f"{key} must be at least 1, not {value}")


def _check_bank(entries: int, neighbours: int) -> None:
    if entries < neighbours:
        raise UserError(
            f"detector.neighbours={neighbours} exceeds the {entries} vectors of the bank: lower it"
        )
