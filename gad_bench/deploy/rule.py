"""The rule by which a saved detector calls an image anomalous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gad_bench.evaluation import Definitions, HeldOut, Threshold
from gad_bench.evaluation.conformal import Calibration
from gad_bench.evaluation.definitions import SOUND
from gad_bench.evaluation.thresholds import (
    CONFORMAL,
    GAUSSIAN,
    SIGMAS,
    DistanceLaw,
    sigma_threshold,
)
from gad_bench.evaluation.working_points import too_few
from gad_bench.gaussian.detector import FittedBlock
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.statistics import Vector


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """A threshold for a false positive rate, and what stands behind it.

    Attributes:
        fpr: the rate that was wanted.
        rate: the one that the threshold is for: a higher one where images are too few for that.
        method: "conformal": by the images held out; then p-value <= rate says the same as score >
            threshold. "gaussian", only where nothing else was asked for: the image's score where
            every block's distance lies at its law's threshold, exact for one block whose features
            are Gaussian, a convention for several. None: there is no threshold.
        threshold: the image's score beyond which it is called anomalous.
        calibration: of the image's score, where the method is "conformal".
        laws: of the blocks' distances, where they are Mahalanobis distances.
        sigmas: thresholds of the same distances at n sigma, by block and n, for their own sake.
    """

    fpr: float
    rate: float
    method: str | None
    threshold: float | None
    calibration: Calibration | None
    laws: Mapping[int, DistanceLaw]
    sigmas: Mapping[int, Mapping[int, float]]

    @property
    def told(self) -> str:
        """The rule in words."""
        if self.threshold is None:
            return (
                "no threshold, so no decisions: no good image was held out; fold=full does so in "
                "turn, and fold=kfold a fifth of them"
            )
        wanted = f"anomalous beyond {self.threshold:.4g}, for {100 * self.rate:.3g} % false alarms"
        if self.calibration is None:
            return f"{wanted} if features were Gaussian, as threshold=gaussian asks: no promise"
        few = ""
        if self.rate > self.fpr:
            few = f" ({too_few(self.calibration.images, self.fpr)})"
        return f"{wanted}: by {self._held_out}{few}"

    def told_beside(self, threshold: float) -> str:
        """A user's own threshold in words, beside the rule's."""
        own = f"threshold={threshold:g} is your own, in place of the detector's"
        if self.calibration is None or self.threshold is None:
            return f"{own}: nothing is known of its false alarms"
        beyond = sum(score > threshold for score in self.calibration.scores)
        return (
            f"{own} {self.threshold:.4g}: beyond it lie {beyond} of {self._held_out}; p-values "
            "do not go by it"
        )

    @property
    def _held_out(self) -> str:
        if self.calibration is None:
            return "no images"
        images, fits = self.calibration.images, self.calibration.fits
        if fits == 1:
            return f"{images} good images held out"
        return f"{images} good images, each scored by one of {fits} fits without it"

    def p_values(self, scores: Vector) -> Vector | None:
        """Return how probable a good image with such a score or a higher one is, where known."""
        return self.calibration.p_values(scores) if self.calibration else None


def decision_rule(
    model: FittedModel,
    threshold: Threshold,
    held_out: HeldOut | None,
    definitions: Definitions = SOUND,
) -> DecisionRule:
    """Choose a rule: by the images held out, or by the Gaussian law if that alone is asked for."""
    laws = {block: law for block, own in model.blocks.items() if (law := _law(own))}
    calibration, method, limit, rate = None, None, None, threshold.fpr
    if CONFORMAL in threshold.methods:
        if held_out is not None:
            calibration = Calibration.of(held_out.combined, held_out.fits)
            rate = calibration.admitted(threshold.fpr)
            method, limit = CONFORMAL, calibration.threshold(rate)
    elif GAUSSIAN in threshold.methods:
        limit = _gaussian(model, threshold.fpr)
        method = None if limit is None else GAUSSIAN
    return DecisionRule(
        fpr=threshold.fpr,
        rate=rate,
        method=method,
        threshold=limit,
        calibration=calibration,
        laws=laws,
        sigmas={
            block: {
                sigma: sigma_threshold(sigma, law.dimension, definitions.sigma) for sigma in SIGMAS
            }
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
