"""Nonlinear shrinkage: each eigenvalue of the covariance matrix by its own amount."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import need_samples
from gad_bench.gaussian.metric import Projected, SpectralMahalanobis
from gad_bench.gaussian.projection import Selection, varying
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.statistics import Matrix, Statistics, Vector

NAME = "ledoit_wolf_nonlinear"
LEAST = 13
"""The kernel's bandwidth needs 12 degrees of freedom, and the mean takes one."""
EDGE = np.sqrt(5)
"""Where the Epanechnikov kernel of variance one ends."""
FAR = 10.0
"""From where on twelve terms of a series give its Hilbert transform to the last digit."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NonlinearLedoitWolf:
    """Analytical nonlinear shrinkage, also of fewer samples than dimensions.

    Samples that depend linearly on others, as an image that occurs twice does, count as none: where
    the samples span r dimensions, they are taken for r + 1 samples. A feature that is the same in
    all samples is left out.

    Source: Ledoit and Wolf 2020, "Analytical nonlinear shrinkage of large-dimensional covariance
    matrices", Annals of Statistics 48(5); the equations in the comments are its.
    """

    def fit(self, samples: Statistics) -> Projected:
        """Shrink the eigenvalues of the empirical covariance.

        Raises:
            UserError: there are too few samples, or features depend linearly on one another.
        """
        need_samples(samples, LEAST, NAME)
        kept = varying(samples)
        spectrum = samples.spectrum
        freedom = _freedom(samples, len(kept), len(spectrum.variances))
        full = min(len(kept), freedom)
        variances = spectrum.variances[:full] * ((freedom + 1) / freedom)
        shrunk, rest = shrink(variances, len(kept), freedom)
        metric = SpectralMahalanobis(
            mean=samples.mean[kept],
            directions=spectrum.directions[kept, :full],
            variances=shrunk,
            rest=rest,
        )
        return Projected(projection=Selection(kept), metric=metric)


def _freedom(samples: Statistics, dimension: int, rank: int) -> int:
    """Return the samples' degrees of freedom, of which those that repeat others have none.

    Raises:
        UserError: they are too few, or there are enough, and yet the features are dependent.
    """
    freedom = samples.count - 1
    if rank >= min(dimension, freedom):
        return freedom
    told = f"covariance={NAME}: {samples.count} samples of {dimension} varying features"
    if dimension < _distinct(samples):
        raise UserError(
            f"{told} have rank {rank}: remove features that depend linearly on others, "
            "or use covariance=ledoit_wolf"
        )
    if rank < LEAST - 1:
        raise UserError(
            f"{told} have rank {rank}, as {rank + 1} would, and it needs {LEAST}: "
            "use covariance=ledoit_wolf or more training images"
        )
    log.warning("%s are worth %d: images that occur twice add nothing", told, rank + 1)
    return rank


def _distinct(samples: Statistics) -> int:
    """Return the number of samples but for repetitions, as far as it is known."""
    if isinstance(samples, Samples):
        return len(np.unique(samples.values, axis=0))
    return samples.count


def shrink(variances: Vector, dimension: int, freedom: int) -> tuple[Vector, float]:
    """Shrink the eigenvalues that are not zero of a covariance matrix.

    Args:
        variances: the eigenvalues [min(dimension, freedom)].
        dimension: the number of all eigenvalues.
        freedom: degrees of freedom of the samples.

    Returns:
        The shrunk eigenvalues, and what those that are zero become.
    """
    bandwidth = freedom ** (-1 / 3)  # (4.9)
    density, hilbert = _density_and_hilbert(variances, bandwidth)
    ratio = dimension / freedom
    if dimension <= freedom:
        imaginary = np.pi * ratio * variances * density
        real = 1 - ratio - np.pi * ratio * variances * hilbert
        return variances / (imaginary**2 + real**2), 0.0  # (4.3)
    shrunk = 1 / (np.pi**2 * variances * (density**2 + hilbert**2))  # (C.4)
    at_zero = _hilbert_at_zero(variances, bandwidth)
    return shrunk, float(1 / (np.pi * (ratio - 1) * at_zero))  # (C.5)


def _density_and_hilbert(variances: Vector, bandwidth: float) -> tuple[Vector, Vector]:
    """Estimate the spectral density and its Hilbert transform at each eigenvalue."""
    width = bandwidth * variances
    x = (variances[:, None] - variances) / width
    kernel = 3 / (4 * EDGE) * np.maximum(1 - x**2 / 5, 0)  # (4.7)
    hilbert = np.where(np.abs(x) < FAR, _hilbert_near(x), _hilbert_far(x))
    return np.mean(kernel / width, axis=1), np.mean(hilbert / width, axis=1)


def _hilbert_near(x: Matrix) -> Matrix:
    """Return the kernel's Hilbert transform: (4.8). Its logarithm's factor is 0 at the edges."""
    inner = np.abs(x) != EDGE
    ratio = np.divide(EDGE - x, EDGE + x, out=np.ones_like(x), where=inner)
    logarithm: Matrix = np.log(np.abs(ratio))
    return (-3 / 10 * x + 3 / (4 * EDGE) * (1 - x**2 / 5) * logarithm) / np.pi


def _hilbert_far(x: Matrix) -> Matrix:
    """Return the same as a series in 5 / x^2, where the terms of (4.8) cancel to rounding."""
    ratio = 5 / np.maximum(np.abs(x), FAR) ** 2
    terms = [3 / ((2 * k + 1) * (2 * k + 3)) for k in range(12)]
    return -np.polynomial.polynomial.polyval(ratio, terms) / (np.pi * np.where(x == 0, FAR, x))


def _hilbert_at_zero(variances: Vector, bandwidth: float) -> float:
    """Return the Hilbert transform of the spectral density at zero: (C.8)."""
    h = bandwidth
    logarithm = np.log((1 + EDGE * h) / (1 - EDGE * h))
    kernel = 3 / (10 * h**2) + 3 / (4 * EDGE * h) * (1 - 1 / (5 * h**2)) * logarithm
    return float(kernel / np.pi * np.mean(1 / variances))
