"""Inverses of covariance matrices that leave out the directions of least variance."""

from __future__ import annotations

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.gaussian.metric import Projected, SpectralMahalanobis
from gad_bench.gaussian.projection import Linear
from gad_bench.gaussian.statistics import Matrix, Vector

DOUBLE, SINGLE = "float64", "float32"
PRECISIONS = (DOUBLE, SINGLE)


def pseudo_inverse(mean: Vector, covariance: Matrix, precision: str, cutoff: float) -> Projected:
    """Return the Mahalanobis distance by the pseudo-inverse of a covariance matrix S.

    The distance's degrees of freedom are the number of the directions that are left.

    Args:
        mean: m [dim].
        covariance: S [dim, dim].
        precision: to which S is rounded and in which its eigenvalues are sought.
        cutoff: an eigenvalue up to cutoff * dim * the largest has no part in the inverse.

    Raises:
        UserError: no direction is left.
    """
    from scipy.linalg import eigh

    # SciPy's: numpy's own computes in double precision, whatever it is given.
    variances, directions = eigh(covariance.astype(precision), check_finite=False)
    kept = variances > cutoff * len(variances) * max(variances[-1], 0)
    if not kept.any():
        raise UserError(
            f"the covariance matrix of {len(mean)} features is zero, and has no pseudo-inverse: "
            "use more training images or covariance=identity"
        )
    rank = int(np.count_nonzero(kept))
    return Projected(
        projection=Linear(mean, directions[:, kept].astype(np.float64)),
        metric=SpectralMahalanobis(
            mean=np.zeros(rank),
            directions=np.eye(rank),
            variances=variances[kept].astype(np.float64),
            rest=0.0,
        ),
    )
