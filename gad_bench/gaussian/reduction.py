"""Reductions of the features' dimension before the Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gad_bench.errors import UserError
from gad_bench.gaussian.samples import Matrix, Samples, Vector


class Projection(Protocol):
    """A fitted reduction."""

    def apply(self, features: Matrix) -> Matrix:
        """Map vectors [vectors, dim] to [vectors, reduced dim]."""


class Reduction(Protocol):
    """A choice of fewer dimensions."""

    def fit(self, samples: Samples) -> Projection:
        """Choose them by the samples."""


@dataclass(frozen=True)
class Linear:
    """(x - mean) directions, for directions [dim, reduced dim]."""

    mean: Vector
    directions: Matrix

    def apply(self, features: Matrix) -> Matrix:
        """Map vectors [vectors, dim] to [vectors, reduced dim]."""
        return (features - self.mean) @ self.directions


@dataclass(frozen=True, kw_only=True)
class NoReduction:
    """All dimensions as they are."""

    def fit(self, samples: Samples) -> NoReduction:  # noqa: ARG002
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
    Components without any variance are in neither.
    """

    threshold: float
    negated: bool

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise UserError(f"reduction.threshold must lie in (0, 1), not {self.threshold}")

    def fit(self, samples: Samples) -> Linear:
        """Choose components by the samples.

        Raises:
            UserError: the samples do not vary.
        """
        spectrum = samples.spectrum
        if len(spectrum.variances) == 0:
            raise UserError(f"{samples.count} samples that do not vary have no components")
        explained = np.cumsum(spectrum.variances) / np.sum(spectrum.variances)
        first = int(np.argmax(np.append(explained > self.threshold, True)))
        chosen = slice(max(first - 1, 0), None) if self.negated else slice(first + 1)
        return Linear(samples.mean, spectrum.directions[:, chosen])
