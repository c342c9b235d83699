"""The rule by which a saved detector calls an image anomalous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.evaluation import Definitions, Scores, Threshold
from gad_bench.evaluation.conformal import Calibration, CrossCalibration
from gad_bench.evaluation.definitions import SOUND
from gad_bench.evaluation.thresholds import (
    CONFORMAL,
    GAUSSIAN,
    SIGMAS,
    DistanceLaw,
    sigma_threshold,
)
from gad_bench.evaluation.working_points import calibrate, too_few
from gad_bench.gaussian.detector import FittedBlock
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.statistics import Vector
from gad_bench.patches import FittedPatchDetector
from gad_bench.steps.cross_fitting import CrossFits
from gad_bench.steps.evidence import Model


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """How an image is called anomalous at a false positive rate, and what stands behind it.

    Attributes:
        fpr: the rate that was wanted.
        rate: the one that is used: a higher one where images are too few for that.
        method: "conformal": where the p-value, by good images held out, is at most the rate.
            "gaussian", only where nothing else was asked for: where the score lies beyond the
            threshold, which is the image's score if every block's distance lies at its law's
            threshold, exact for one block whose features are Gaussian, a convention for several.
            None: nothing is decided.
        threshold: the image's score beyond which it is called anomalous. A p-value at most the rate
            says the same where there are both; None where several fits calibrate.
        calibration: by images held out, where the method is "conformal".
        fits: the fits that hold them out, where that is not the detector's own.
        laws: of the blocks' distances, where they are Mahalanobis distances.
        sigmas: thresholds of the same distances at n sigma, by block and n, for their own sake.
    """

    fpr: float
    rate: float
    method: str | None
    threshold: float | None
    calibration: Calibration | CrossCalibration | None
    fits: Sequence[FittedModel | FittedPatchDetector]
    laws: Mapping[int, DistanceLaw]
    sigmas: Mapping[int, Mapping[int, float]]

    @property
    def told(self) -> str:
        """The rule in words."""
        if self.method is None:
            return (
                "nothing to decide by, so no decisions: no good image was held out; fold=full does "
                "so in turn, and fold=kfold holds out a fifth of them"
            )
        rate = f"{100 * self.rate:.3g} %"
        wanted = f"for {rate} false alarms: anomalous "
        if self.calibration is None:
            law = "if features were Gaussian, as threshold=gaussian asks: no promise"
            return f"{wanted}beyond {self.threshold:.4g}, {law}"
        few = ""
        if self.rate > self.fpr:
            few = f" ({too_few(self.calibration.images, self.fpr)})"
        where = f"where the p-value is at most {rate}"
        if self.threshold is not None:
            where += f", beyond a score of {self.threshold:.4g}"
        return f"{wanted}{where}, by {self._held_out}{few}"

    def told_beside(self, threshold: float) -> str:
        """A user's own threshold in words, beside the rule's."""
        own = f"threshold={threshold:g} is your own: anomalous goes by it, and by no p-value"
        return f"{own}; the detector's own rule is {self.told}"

    @property
    def _held_out(self) -> str:
        images = self.calibration.images if self.calibration else 0
        if self.fits:
            return f"{images} good images, each held out of one of {len(self.fits)} further fits"
        return f"{images} good images held out"

    def p_values(self, scores: Vector, features: Mapping[int, NDArray[Any]]) -> Vector | None:
        """Return how probable a good image with such a score or a higher one is, where known.

        Args:
            scores: the images' [images].
            features: theirs, by block: vectors [images, D_i], or maps [images, C_i, H_i, W_i].
        """
        if isinstance(self.calibration, CrossCalibration):
            return self.calibration.p_values([_image_scores(fit, features) for fit in self.fits])
        return self.calibration.p_values(scores) if self.calibration else None

    def decisions(self, scores: Vector, p_values: Vector | None) -> NDArray[np.bool_] | None:
        """Return which images are anomalous [images], None where nothing is decided."""
        if p_values is not None:
            return np.asarray(p_values <= self.rate)
        return None if self.threshold is None else np.asarray(scores > self.threshold)


def decision_rule(
    model: Model,
    threshold: Threshold,
    scores: Scores,
    cross: CrossFits,
    definitions: Definitions = SOUND,
) -> DecisionRule:
    """Choose a rule: by images held out, or by the Gaussian law if that alone is asked for.

    The score of a detector on patches follows no such law.

    Args:
        model: the detector's.
        threshold: the wanted rate, and by which methods.
        scores: by the model, with those of images that it did not see, where there are any.
        cross: the fits that hold images out in turn, where the model holds out too few.
        definitions: of the thresholds at n sigma.
    """
    by_block = model if isinstance(model, FittedModel) else None
    blocks = by_block.blocks if by_block else {}
    laws = {block: law for block, own in blocks.items() if (law := _law(own))}
    calibration, method, limit, rate = None, None, None, threshold.fpr
    if CONFORMAL in threshold.methods:
        by = cross.scores or [scores]
        if all(one.held_out is not None for one in by):
            calibration = calibrate(by, lambda own: own.combined)
            rate, method = calibration.admitted(threshold.fpr), CONFORMAL
        if isinstance(calibration, Calibration):
            limit = calibration.threshold(rate)
    elif GAUSSIAN in threshold.methods and by_block:
        limit = _gaussian(by_block, threshold.fpr)
        method = None if limit is None else GAUSSIAN
    return DecisionRule(
        fpr=threshold.fpr,
        rate=rate,
        method=method,
        threshold=limit,
        calibration=calibration,
        fits=cross.models if isinstance(calibration, CrossCalibration) else (),
        laws=laws,
        sigmas={
            block: {
                sigma: sigma_threshold(sigma, law.dimension, definitions.sigma) for sigma in SIGMAS
            }
            for block, law in laws.items()
        },
    )


def _image_scores(model: Model, features: Mapping[int, NDArray[Any]]) -> Vector:
    if isinstance(model, FittedModel):
        return model.score(features)[1]
    return model.score(features).images


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
