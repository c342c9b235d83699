"""Fits that hold good images out in turn, where one fit has them all."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from gad_bench.base.errors import UserError
from gad_bench.data.split import Split
from gad_bench.evaluation import Scores
from gad_bench.features.interface import Features
from gad_bench.gaussian.model import FittedModel
from gad_bench.steps.parts import Parts
from gad_bench.steps.scoring import fit, score
from gad_bench.steps.training import Training

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CrossFits:
    """The further fits, and their scores of the test images and of those that each holds out."""

    models: Sequence[FittedModel] = ()
    scores: Sequence[Scores] = ()


def cross_fit(
    catalog: pd.DataFrame,
    features: Mapping[int, Features],
    training: Training,
    parts: Parts,
    splits: Sequence[Split],
) -> CrossFits:
    """Fit and score all splits.

    Args:
        catalog: the category's images.
        features: theirs, by block.
        training: the vectors to be fitted.
        parts: the run's.
        splits: as `Parts.cross_fits` returns them.

    Returns:
        None at all where the images that are left admit no fit, which is told.

    Raises:
        UserError: they admit none, and the threshold requires it.
    """
    models = []
    for number, split in enumerate(splits, start=1):
        try:
            models.append(fit(training, split, parts.detector, parts.combination))
        except UserError as error:
            reason = f"fit {number} of {len(splits)} that calibrate, on {len(split.train)} images"
            if parts.threshold.required:
                raise UserError(f"{reason}: {error}") from error
            log.warning("%s: %s; so there are no p-values", reason, error)
            return CrossFits()
    scores = [
        score(catalog, features, model, split) for model, split in zip(models, splits, strict=True)
    ]
    return CrossFits(models=models, scores=scores)
