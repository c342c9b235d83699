"""PaDiM: a Gaussian at each position."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.arrays import join_up
from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread
from gad_bench.patches.detector import PatchDetector, PatchScorer
from gad_bench.patches.embedding import Embedding, PatchStream
from gad_bench.patches.maps import Grids, Maps, Patches, require_memory

Array = NDArray[np.float64]

CHUNK_VALUES = 2**18
"""Numbers in flight: 2 MiB, which the processor's cache holds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PositionGaussians(PatchScorer):
    """Mahalanobis distances from each position's own Gaussian.

    Attributes:
        means: [positions, dim].
        whitening: W [positions, dim, dim] with W W' the inverse of the covariance matrix.
        shape: height and width of the grid.
    """

    means: Array
    whitening: Array
    shape: list[int]

    def grids(self, patches: Patches) -> Grids:
        """Return |W'(x - m)| [images, h, w].

        Raises:
            UserError: the grid is another one than was fitted.
        """
        if list(patches.shape[1:3]) != self.shape:
            raise UserError(
                f"maps on a grid of {patches.shape[1]} x {patches.shape[2]} cannot be scored by "
                f"Gaussians fitted at {self.shape[0]} x {self.shape[1]} positions"
            )
        distances = np.empty((len(self.means), len(patches)))
        with one_thread():
            for part in _parts(len(self.means), len(patches) * self.means.shape[1]):
                centred = _by_position(patches, part) - self.means[part, None]
                whitened = centred @ self.whitening[part]
                distances[part] = np.sqrt(np.einsum("pnd,pnd->pn", whitened, whitened))
        return np.ascontiguousarray(distances.T).reshape(len(patches), *self.shape)


@dataclass(frozen=True, kw_only=True)
class PositionGaussian(PatchDetector):
    """A Gaussian at each position, over randomly chosen features.

    Its covariance is S + regularisation I, with S divided by the number of images less one. One
    pass; memory: positions * dimensions^2 * 8 bytes, and half of that for images on their way,
    whatever their number.

    Source: Defard, Setkov, Loesch and Audigier 2021, "PaDiM: a patch distribution modeling
    framework for anomaly detection and localization", section III.

    Attributes:
        dimensions: how many features of the joined vectors are kept; all where there are no more.
        seed: of their choice, which depends on their number and on nothing else.
        regularisation: added to the variances.
    """

    dimensions: int
    seed: int
    regularisation: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions < 1:
            raise UserError(f"detector.dimensions must be at least 1, not {self.dimensions}")
        if not 0 < self.regularisation < np.inf:
            raise UserError(
                f"detector.regularisation must be more than 0, not {self.regularisation}"
            )

    def embedding(self, maps: Maps) -> Embedding:
        """Return the embedding, with the choice of features and no interpolation.

        A patch has the vectors at its place in each map, as in the paper. On maps interpolated
        instead, PaDiM is worse: see benchmarks/README.md.
        """
        embedding = super().embedding(maps)
        order = np.random.default_rng(self.seed).permutation(embedding.width(maps))
        return replace(embedding, channels=np.sort(order[: self.dimensions]), repeated=True)

    def learn(self, patches: PatchStream) -> PositionGaussians:
        """Sum at each position over the images, then invert in place.

        Raises:
            UserError: a covariance matrix is singular to working precision.
        """
        height, width, dimension = patches.shape
        positions = height * width
        require_memory(
            12.0 * positions * dimension * (dimension + 1),
            self.memory_limit,
            f"a Gaussian of {dimension} features at each of {height} x {width} positions",
            "lower detector.dimensions or detector.grid",
        )
        count, means = 0, np.zeros((positions, dimension))
        scatter = np.zeros((positions, dimension, dimension))
        with one_thread():
            for batch in join_up(patches, dimension):  # of few images, calls take all the time
                _add(scatter, means, count, batch)
                count += len(batch)
            for part in _parts(positions, dimension**2):
                scatter[part] = self._whitening(scatter[part] / max(count - 1, 1))
        return PositionGaussians(means=means, whitening=scatter, shape=[height, width])

    def _whitening(self, covariances: Array) -> Array:
        """Return some positions' W [positions, dim, dim], upper triangular, by way of correlations.

        Raises:
            UserError: a matrix is singular to working precision.
        """
        dimension = covariances.shape[-1]
        covariances[:, range(dimension), range(dimension)] += self.regularisation
        deviations = np.sqrt(np.einsum("pdd->pd", covariances))
        correlations = covariances / deviations[:, None] / deviations[:, :, None]
        try:
            triangles = np.linalg.cholesky(correlations, upper=True)
            inverses = _inverse(triangles)
            condition = float((_norm(triangles) * _norm(inverses)).max())
        except np.linalg.LinAlgError:
            condition = np.inf
        if not condition < 1 / np.sqrt(np.finfo(np.float64).eps * dimension):
            raise UserError(
                f"detector.regularisation={self.regularisation:g} is lost in features whose "
                f"variances reach {covariances.max():.3g}: raise it, or use normalisation=l2"
            )
        inverses /= deviations[:, :, None]
        return inverses


def _inverse(triangles: Array) -> Array:
    """Return the inverses of upper triangular matrices."""
    from scipy.linalg import lapack

    inverses = np.zeros_like(triangles)
    for inverse, triangle in zip(inverses, triangles, strict=True):
        inverse[:] = np.triu(lapack.dtrtri(triangle, lower=0)[0])
    return inverses


def _norm(matrices: Array) -> Array:
    """Return the largest sums of a column's absolute values [matrices]."""
    return np.abs(matrices).sum(axis=1).max(axis=1)


def _add(scatter: Array, means: Array, count: int, batch: Patches) -> None:
    """Add a batch to sums about the mean, and move the mean (Chan, Golub and LeVeque 1979)."""
    added = len(batch)
    for part in _parts(len(means), (added + 1 + means.shape[1]) * means.shape[1]):
        values = _by_position(batch, part)
        centre = values[:, :1] + (values - values[:, :1]).mean(axis=1, keepdims=True)
        values -= centre
        step = centre[:, 0] - means[part]
        if count:
            between = np.sqrt(count * added / (count + added)) * step
            values = np.concatenate([values, between[:, None]], axis=1)
        scatter[part] += values.transpose(0, 2, 1) @ values
        means[part] += step * (added / (count + added))


def _by_position(patches: Patches, part: slice) -> Array:
    """Return some positions' vectors [positions, images, dim]."""
    flat = patches.reshape(len(patches), -1, patches.shape[-1])
    return flat[:, part].transpose(1, 0, 2).astype(np.float64, order="C")


def _parts(positions: int, values: int) -> list[slice]:
    """Return slices of positions, of which each takes so many numbers."""
    size = max(CHUNK_VALUES // max(values, 1), 1)
    return [slice(start, start + size) for start in range(0, positions, size)]
