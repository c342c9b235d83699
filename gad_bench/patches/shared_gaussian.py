"""One Gaussian for the vectors at all positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.gaussian.covariance import Covariance
from gad_bench.gaussian.detector import FittedBlock, FittedMetric
from gad_bench.gaussian.metric import Metric
from gad_bench.gaussian.moments import Moments
from gad_bench.gaussian.normalisation import NoNormalisation
from gad_bench.gaussian.projection import Projection
from gad_bench.gaussian.reduction import NoReduction, Reduction
from gad_bench.patches.detector import PatchDetector, PatchScorer, vectors
from gad_bench.patches.embedding import PatchStream
from gad_bench.patches.maps import Grids, Patches, require_memory

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class VectorScorer(PatchScorer):
    """A fitted detector of vectors, at each position.

    Attributes:
        fitted: the detector.
    """

    fitted: FittedBlock

    def grids(self, patches: Patches) -> Grids:
        """Return its scores [images, h, w]."""
        return self.fitted.score(vectors(patches)).reshape(patches.shape[:3])


@dataclass(frozen=True, kw_only=True)
class SharedGaussian(PatchDetector):
    """One Gaussian for all positions; the score is the distance from it.

    One pass, and another one after a reduction. Memory: some three times dim^2 * 8 bytes and a
    batch's vectors in float64, whatever the number of images. Every covariance that needs no more
    than mean and scatter; `min_cov_det` needs the vectors and is refused.

    Attributes:
        reduction: a `Reduction`; Any because the typed config knows no protocols.
        covariance: a `Covariance`.
    """

    reduction: Any
    covariance: Any

    def learn(self, patches: PatchStream) -> VectorScorer:
        """Fit mean and covariance by their sums.

        Raises:
            UserError: the estimate does not exist for these vectors.
        """
        width = patches.shape[-1]
        require_moments(width, self.memory_limit)
        projection, metric = fit_metric(patches, self.reduction, self.covariance)
        return VectorScorer(fitted=FittedMetric(width, NoNormalisation(), projection, metric))


def fit_metric(
    patches: PatchStream, reduction: Reduction, covariance: Covariance
) -> tuple[Projection, Metric]:
    """Fit a reduction on all vectors, and a covariance's metric on what it leaves of them.

    Args:
        patches: iterated over once, and once more after a reduction.
        reduction: none, or what shortens them.
        covariance: one that needs no more than mean and scatter.

    Raises:
        UserError: the estimate does not exist for these vectors.
    """
    moments = moments_of(patches)
    projection = reduction.fit(moments)
    if not isinstance(projection, NoReduction):
        moments = moments_of(patches, projection.apply)
    return projection, covariance.fit(moments)


def moments_of(patches: PatchStream, step: Callable[[Array], Array] | None = None) -> Moments:
    """Return the sums over all vectors, mapped by a step first."""
    batches = (vectors(batch).astype(np.float64) for batch in patches)
    return reduce(add, (Moments.of(batch if step is None else step(batch)) for batch in batches))


def require_moments(dimension: int, limit: float) -> None:
    """Refuse vectors whose covariance matrix does not fit into memory.

    Raises:
        UserError: names what to lower.
    """
    require_memory(
        3 * 8.0 * dimension**2,
        limit,
        f"the covariance matrix of {dimension} features",
        "name fewer blocks (detector.blocks)",
    )
