"""Logistic regression on features and labels: what would labels buy?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.detector import Detector, MetricDetector
from gad_bench.gaussian.metric import Metric
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.statistics import Matrix, Vector

LONGEST = 10_000  # steps of the solver; on standardised features it takes some dozens


@dataclass(frozen=True, kw_only=True)
class LogOdds(Metric):
    """weights . x + offset: the logarithm of the odds that a vector is anomalous.

    Attributes:
        weights: [dim].
        offset: the intercept.
    """

    weights: Vector
    offset: float

    def distance(self, features: Matrix) -> Vector:
        """Return the log odds [vectors], positive where anomalous is the likelier."""
        return features @ self.weights + self.offset


@dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """Logistic regression with an L2 penalty on standardised features, by scikit-learn.

    Attributes:
        normalisation: a `Normalisation`; Any because the typed config knows no protocols.
        reduction: a `Reduction`, fitted on good and anomalous vectors alike.
        C: scikit-learn's inverse weight of the penalty.
    """

    normalisation: Any
    reduction: Any
    C: float

    def __post_init__(self) -> None:
        if not self.C > 0:
            raise UserError(f"detector.C must be more than 0, not {self.C}")

    def taught(self, labels: NDArray[np.integer]) -> Detector:
        """Return what learns from samples that have these labels [samples], 1 for anomalous.

        Raises:
            UserError: they are all alike.
        """
        if len(np.unique(labels)) < 2:
            raise UserError(
                f"all {len(labels)} samples to learn from have the same label: "
                "a supervised detector needs good and anomalous ones"
            )
        return _LabelledRegression(
            normalisation=self.normalisation, reduction=self.reduction, C=self.C, labels=labels
        )


@dataclass(frozen=True, kw_only=True)
class _LabelledRegression(MetricDetector):
    C: float
    labels: NDArray[np.integer]

    def learn(self, samples: Samples) -> Metric:
        """Regress on standardised values, and return what that is of the values as they are."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        values = samples.values
        scaler = StandardScaler().fit(values)
        model = LogisticRegression(C=self.C, max_iter=LONGEST)
        model.fit(scaler.transform(values), self.labels)
        weights = model.coef_[0] / scaler.scale_
        return LogOdds(weights=weights, offset=float(model.intercept_[0] - weights @ scaler.mean_))
