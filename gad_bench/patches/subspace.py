"""What is left of a vector outside the subspace of normal ones: SubspaceAD and DFM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.metric import SpectralMahalanobis
from gad_bench.gaussian.projection import Linear
from gad_bench.gaussian.reduction import PrincipalComponents, check_share
from gad_bench.gaussian.samples import Samples
from gad_bench.patches.detector import PatchDetector, PatchScorer, vectors
from gad_bench.patches.embedding import PatchStream
from gad_bench.patches.maps import Grids, Patches, Vector, require_memory
from gad_bench.patches.shared_gaussian import moments_of, require_moments

Array = NDArray[np.float64]

RECONSTRUCTION, LIKELIHOOD = "reconstruction", "likelihood"


@dataclass(frozen=True, kw_only=True)
class Residuals(PatchScorer):
    """Squared lengths of what lies outside a subspace.

    Attributes:
        subspace: its mean and its orthonormal directions.
    """

    subspace: Linear

    def grids(self, patches: Patches) -> Grids:
        """Return the squared residuals [images, h, w]."""
        residual = _residual(self.subspace, vectors(patches).astype(np.float64))
        return np.einsum("nd,nd->n", residual, residual).reshape(patches.shape[:3])


@dataclass(frozen=True, kw_only=True)
class PatchSubspace(PatchDetector):
    """The squared distance from the subspace of the leading principal components of all vectors.

    One pass. Memory: some three times dim^2 * 8 bytes and a batch's vectors in float64.

    Source: SubspaceAD (2026), the method; the share is explained variance.

    Attributes:
        threshold: the share of the variance that the components just exceed, in (0, 1).
    """

    threshold: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("detector.threshold", self.threshold)

    def learn(self, patches: PatchStream) -> Residuals:
        """Find the components by the vectors' moments.

        Raises:
            UserError: the vectors do not vary.
        """
        require_moments(patches.shape[-1], self.memory_limit)
        components = PrincipalComponents(threshold=self.threshold, negated=False)
        return Residuals(subspace=components.fit(moments_of(patches)))


@dataclass(frozen=True, kw_only=True)
class PooledResiduals(PatchScorer):
    """Squared residuals of a whole pooled map, added up over its channels.

    Attributes:
        pooling: positions a side that are averaged.
        subspace: of the pooled maps as vectors.
    """

    pooling: int
    subspace: Linear

    def grids(self, patches: Patches) -> Grids:
        """Return the residuals [images, pooled h, pooled w]."""
        pooled = _pooled(patches, self.pooling)
        residual = _residual(self.subspace, _as_fitted(pooled, self.subspace)).reshape(pooled.shape)
        return np.einsum("nhwd,nhwd->nhw", residual, residual)


@dataclass(frozen=True, kw_only=True)
class PooledLikelihood(PatchScorer):
    """Minus the logarithm of the density of a whole pooled map in the subspace, in nats.

    Attributes:
        pooling: positions a side that are averaged.
        subspace: of the pooled maps as vectors.
        gaussian: in the subspace.
        constant: of the density.
    """

    pooling: int
    subspace: Linear
    gaussian: SpectralMahalanobis
    constant: float

    def grids(self, patches: Patches) -> Grids:
        """Return the score as a grid of one position [images, 1, 1]."""
        flat = _as_fitted(_pooled(patches, self.pooling), self.subspace)
        distances: Vector = self.gaussian.distance(self.subspace.apply(flat))
        return (distances**2 / 2 + self.constant)[:, None, None]


@dataclass(frozen=True, kw_only=True)
class DeepFeatureModel(PatchDetector):
    """Principal components of whole pooled maps: what they leave, or how likely they are.

    One pass. Memory: the pooled maps of all training images in float64, twice.

    Source: Ahuja et al. 2019, "Probabilistic modeling of deep features for out-of-distribution and
    adversarial detection", with the feature reconstruction error as the other score.

    Attributes:
        pooling: positions a side that are averaged before, without overlap; incomplete ones at the
            lower and right border are left out.
        threshold: the share of the variance that the components just exceed, in (0, 1).
        score: "reconstruction", the squared error, which has a heat map; or "likelihood", a
            Gaussian's in the subspace, whose heat map is one position.
    """

    pooling: int
    threshold: float
    score: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("detector.threshold", self.threshold)
        if self.pooling < 1:
            raise UserError(f"detector.pooling must be at least 1, not {self.pooling}")
        if self.score not in (RECONSTRUCTION, LIKELIHOOD):
            raise UserError(
                f"detector.score must be {RECONSTRUCTION} or {LIKELIHOOD}, not {self.score}"
            )

    def learn(self, patches: PatchStream) -> PooledResiduals | PooledLikelihood:
        """Find the components by the pooled maps.

        Raises:
            UserError: the maps do not vary, or are smaller than what is pooled.
        """
        samples = Samples(self._pooled(patches))
        components = PrincipalComponents(threshold=self.threshold, negated=False)
        subspace = components.fit(samples)
        if self.score == RECONSTRUCTION:
            return PooledResiduals(pooling=self.pooling, subspace=subspace)
        variances = samples.spectrum.variances[: subspace.directions.shape[1]]
        gaussian = SpectralMahalanobis(
            mean=np.zeros(len(variances)),
            directions=np.eye(len(variances)),
            variances=variances,
            rest=1.0,
        )
        constant = float(np.log(2 * np.pi * variances).sum() / 2)
        return PooledLikelihood(
            pooling=self.pooling, subspace=subspace, gaussian=gaussian, constant=constant
        )

    def _pooled(self, patches: PatchStream) -> Array:
        height, width, dimension = patches.shape
        size = (height // self.pooling) * (width // self.pooling) * dimension
        if size == 0:
            raise UserError(
                f"detector.pooling={self.pooling} exceeds the map's {height} x {width} positions: "
                "lower it"
            )
        require_memory(
            2 * 8.0 * patches.images * size,
            self.memory_limit,
            f"{patches.images} pooled maps of {size} features",
            "raise detector.pooling or name fewer blocks (detector.blocks)",
        )
        return np.concatenate(
            [_pooled(batch, self.pooling).reshape(len(batch), -1) for batch in patches]
        )


def _residual(subspace: Linear, values: Array) -> Array:
    centred = values - subspace.mean
    return centred - (centred @ subspace.directions) @ subspace.directions.T


def _pooled(patches: Patches, side: int) -> Array:
    """Return the means of squares of positions [images, h // side, w // side, dim]."""
    images, height, width, dimension = patches.shape
    rows, columns = height // side, width // side
    whole = patches[:, : rows * side, : columns * side]
    squares = whole.reshape(images, rows, side, columns, side, dimension)
    return squares.mean(axis=(2, 4), dtype=np.float64)


def _as_fitted(pooled: Array, subspace: Linear) -> Array:
    """Return pooled maps as vectors [images, dim], if these are as long as the fitted ones."""
    flat, fitted = pooled.reshape(len(pooled), -1), len(subspace.mean)
    if flat.shape[1] != fitted:
        raise UserError(
            f"the pooled maps to score have {flat.shape[1]} features, "
            f"those that were fitted had {fitted}"
        )
    return flat
