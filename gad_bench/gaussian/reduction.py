"""Reductions of the features' dimension before the Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gad_bench.base.errors import UserError, require_choice
from gad_bench.gaussian.projection import Linear, Projection, Selection
from gad_bench.gaussian.pseudo_inverse import DOUBLE, PRECISIONS
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.spectrum import Spectrum, whole_spectrum
from gad_bench.gaussian.statistics import Matrix, Statistics, Vector, unvarying

VARYING, LITERAL = "varying", "literal"
EDGES = (VARYING, LITERAL)


class Reduction(Protocol):
    """A choice of fewer dimensions."""

    def fit(self, samples: Statistics) -> Projection:
        """Choose them by the samples."""


@dataclass(frozen=True, kw_only=True)
class NoReduction:
    """All dimensions as they are."""

    def fit(self, samples: Statistics) -> NoReduction:  # noqa: ARG002
        """Need nothing of the samples."""
        return self

    def apply(self, features: Matrix) -> Matrix:
        """Return the vectors."""
        return features


@dataclass(frozen=True, kw_only=True)
class PrincipalComponents:
    """The leading principal components, or, negated (NPCA), those of least variance.

    With i the first component at which the cumulative explained variance exceeds the threshold, the
    leading ones are 0..i and the negated ones i - 1 and on (Rippel et al. 2020, section III-B).

    Attributes:
        threshold: the share of the variance, in (0, 1).
        negated: keep those of least variance.
        edge: what is kept where that leaves a choice. "varying": components without variance are in
            neither; for i = 0 the negated ones are all; a share that is never exceeded keeps all
            leading ones and is refused for the negated. "literal", which the paper's numbers were
            made with: there are min(samples, dim) components, so where the samples are no more than
            the dimensions the last one has no variance but rounding's, and the negated ones hold
            it; i is 0 where the share is never exceeded; and the slices are taken as they stand, so
            that i = 0 leaves the negated ones the last component alone.
        precision: in which the components are sought, float64 or float32. With the latter and
            "literal" the last one is the rounding of this very processor's arithmetic.
    """

    threshold: float
    negated: bool
    edge: str = VARYING
    precision: str = DOUBLE

    def __post_init__(self) -> None:
        check_share("reduction.threshold", self.threshold)
        require_choice("reduction.edge", self.edge, EDGES)
        require_choice("reduction.precision", self.precision, PRECISIONS)

    def fit(self, samples: Statistics) -> Linear:
        """Choose components by the samples.

        Raises:
            UserError: the samples do not vary, or the leading components leave nothing.
        """
        if samples.total_variance == 0:
            raise UserError(f"no components come of {unvarying(samples)}")
        mean, spectrum = self._components(samples)
        first = first_beyond(spectrum.variances, self.threshold)
        return Linear(mean, spectrum.directions[:, self._chosen(first)])

    def _components(self, samples: Statistics) -> tuple[Vector, Spectrum]:
        """Return the mean and the components, of falling variance."""
        if self.edge == VARYING and self.precision == DOUBLE:
            return samples.mean, samples.spectrum
        if not isinstance(samples, Samples):
            raise UserError(
                "reduction.edge=literal and reduction.precision=float32 need the vectors, not "
                "their moments alone: use computation=sound here"
            )
        values = samples.values.astype(self.precision)
        mean = values.mean(axis=0)
        spectrum = whole_spectrum(values - mean)
        varying = spectrum if self.edge == LITERAL else spectrum.beyond_rounding(samples.count)
        return mean.astype(np.float64), varying

    def _chosen(self, first: int | None) -> slice:
        if self.edge == LITERAL:
            first = first or 0
            return slice(first - 1, None) if self.negated else slice(first + 1)
        if not self.negated:
            return slice(None if first is None else first + 1)
        if first is None:
            raise UserError(
                f"reduction.threshold={self.threshold} leaves npca nothing: all components "
                "together do not exceed it, lower it"
            )
        return slice(max(first - 1, 0), None)


@dataclass(frozen=True, kw_only=True)
class RandomFeatures:
    """A seeded random choice of features (PaDiM).

    Source: Defard, Setkov, Loesch and Audigier 2021, "PaDiM: a patch distribution modeling
    framework for anomaly detection and localization", section III-C.

    Attributes:
        dimensions: their number; a block of no more features keeps them all.
        seed: of the choice, which depends on the block's dimension and on nothing else.
    """

    dimensions: int
    seed: int

    def __post_init__(self) -> None:
        _check_dimensions(self.dimensions)

    def fit(self, samples: Statistics) -> Selection:
        """Choose the features."""
        everything = samples.dimension
        order = np.random.default_rng(self.seed).permutation(everything)
        return Selection(np.sort(order[: self.dimensions]))


@dataclass(frozen=True, kw_only=True)
class RandomProjection:
    """A seeded projection on random orthogonal directions, all equally likely.

    Source: Kim, Kim, Yi and Lee 2021, "Semi-orthogonal embedding for efficient unsupervised anomaly
    segmentation", section 3.

    Attributes:
        dimensions: their number; a block of no more features keeps its dimension.
        seed: of the directions, which depend on the block's dimension and on nothing else.
    """

    dimensions: int
    seed: int

    def __post_init__(self) -> None:
        _check_dimensions(self.dimensions)

    def fit(self, samples: Statistics) -> Linear:
        """Choose the directions: those of Gaussian vectors, made orthonormal."""
        everything = samples.dimension
        shape = (everything, min(self.dimensions, everything))
        gaussian = np.random.default_rng(self.seed).standard_normal(shape)
        return Linear(samples.mean, np.linalg.qr(gaussian).Q)


def first_beyond(variances: Vector, threshold: float) -> int | None:
    """Return the first of the variances at which their cumulative share exceeds the threshold."""
    explained = np.cumsum(variances) / np.sum(variances)
    exceeding = np.flatnonzero(explained > threshold)
    return int(exceeding[0]) if len(exceeding) else None


def check_share(key: str, value: float) -> None:
    """Refuse a share outside (0, 1).

    Raises:
        UserError: names the key.
    """
    if not 0 < value < 1:
        raise UserError(f"{key} must lie in (0, 1), not {value}")


def _check_dimensions(dimensions: int) -> None:
    if dimensions < 1:
        raise UserError(f"reduction.dimensions must be at least 1, not {dimensions}")
