"""The rule by which a saved detector calls an image anomalous."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gad_bench.evaluation import HeldOut, Threshold
from gad_bench.evaluation.conformal import Calibration
from gad_bench.evaluation.thresholds import (
    CONFORMAL,
    GAUSSIAN,
    SIGMAS,
    DistanceLaw,
    sigma_threshold,
)
from gad_bench.gaussian.detector import FittedBlock
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.statistics import Vector
from gad_bench.patches import FittedPatchDetector


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """A threshold for a wanted false positive rate, and what promises it.

    Attributes:
        fpr: the wanted rate.
        method: "conformal": the images held out promise it. "gaussian": the image's score where
            every block's distance lies at its law's threshold, exact for one block whose features
            are Gaussian, a convention for several. None: there is no threshold.
        threshold: the image's score beyond which it is called anomalous.
        calibration: of the image's score, where images were held out.
        laws: of the blocks' distances, where they are Mahalanobis distances.
        sigmas: thresholds of the same distances at n sigma, by block and n, for their own sake.
    """

    fpr: float
    method: str | None
    threshold: float | None
    calibration: Calibration | None
    laws: Mapping[int, DistanceLaw]
    sigmas: Mapping[int, Mapping[int, float]]

    @property
    def told(self) -> str:
        """The rule in words."""
        if self.threshold is None:
            return "no threshold, so no decisions: fold=kfold holds images out for one"
        wanted = f"anomalous beyond {self.threshold:.4g}, for {100 * self.fpr:g} % false alarms"
        if self.method == CONFORMAL and self.calibration:
            return f"{wanted}: by {self.calibration.images} images held out"
        needed = math.ceil(1 / self.fpr) - 1
        return (
            f"{wanted} if features were Gaussian: for a promise hold out {needed} images or more, "
            "as fold=kfold does"
        )

    def p_values(self, scores: Vector) -> Vector | None:
        """Return how probable a good image with such a score or a higher one is, where known."""
        return self.calibration.p_values(scores) if self.calibration else None


def decision_rule(
    model: FittedModel | FittedPatchDetector, threshold: Threshold, held_out: HeldOut | None
) -> DecisionRule:
    """Choose a rule: by the images held out if there are enough, else by the Gaussian law.

    The score of a detector on patches follows no such law.
    """
    by_block = model if isinstance(model, FittedModel) else None
    blocks = by_block.blocks if by_block else {}
    laws = {block: law for block, own in blocks.items() if (law := _law(own))}
    calibration = Calibration.of(held_out.combined) if held_out else None
    method, limit = None, None
    if CONFORMAL in threshold.methods and calibration and calibration.lowest_rate <= threshold.fpr:
        method, limit = CONFORMAL, calibration.threshold(threshold.fpr)
    elif GAUSSIAN in threshold.methods and by_block:
        limit = _gaussian(by_block, threshold.fpr)
        method = None if limit is None else GAUSSIAN
    return DecisionRule(
        fpr=threshold.fpr,
        method=method,
        threshold=limit,
        calibration=calibration,
        laws=laws,
        sigmas={
            block: {sigma: sigma_threshold(sigma, law.dimension) for sigma in SIGMAS}
            for block, law in laws.items()
        },
    )


def _gaussian(model: FittedModel, fpr: float) -> float | None:
    def limit(fitted: FittedBlock | None) -> float | None:
        law = _law(fitted)
        return law.threshold(fpr) if law else None

    blocks = {block: limit(fitted) for block, fitted in model.blocks.items()}
    return model.combine_thresholds(blocks, limit(model.as_one))


def _law(fitted: FittedBlock | None) -> DistanceLaw | None:
    if fitted is None or fitted.dimension is None:
        return None
    return DistanceLaw(dimension=fitted.dimension, samples=fitted.samples)
