"""Fits that hold good images out in turn, where one fit has them all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from gad_bench.base.errors import UserError
from gad_bench.data.split import Split
from gad_bench.evaluation import Scores, Threshold
from gad_bench.steps.evidence import Evidence, Model

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CrossFits:
    """The further fits, and their scores of the test images and of those that each holds out."""

    models: Sequence[Model] = ()
    scores: Sequence[Scores] = ()


def cross_fit(evidence: Evidence, threshold: Threshold, splits: Sequence[Split]) -> CrossFits:
    """Fit and score all splits.

    Args:
        evidence: the images' features, and how a detector is fitted on them.
        threshold: for which the fits calibrate.
        splits: as `Parts.cross_fits` returns them.

    Returns:
        None at all where the images that are left admit no fit, which is told.

    Raises:
        UserError: they admit none, and the threshold requires it.
    """
    models = []
    for number, split in enumerate(splits, start=1):
        try:
            models.append(evidence.fit(split))
        except UserError as error:
            reason = f"fit {number} of {len(splits)} that calibrate, on {len(split.train)} images"
            if threshold.required:
                raise UserError(f"{reason}: {error}") from error
            log.warning("%s: %s; so there are no p-values", reason, error)
            return CrossFits()
    outcomes = [evidence.score(*fitted) for fitted in zip(models, splits, strict=True)]
    return CrossFits(models=models, scores=[outcome.scores for outcome in outcomes])
