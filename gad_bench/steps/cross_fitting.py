"""Good images that are held out in turn, where all of them are fitted."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pandas as pd

from gad_bench.base.errors import UserError
from gad_bench.data.split import Split
from gad_bench.evaluation import HeldOut
from gad_bench.features.interface import Features
from gad_bench.steps.parts import Parts
from gad_bench.steps.scoring import fit, score
from gad_bench.steps.training import Training

log = logging.getLogger(__name__)


def hold_out_in_turn(
    catalog: pd.DataFrame,
    features: Mapping[int, Features],
    training: Training,
    parts: Parts,
    cross: Sequence[Split],
) -> list[HeldOut]:
    """Return the scores of fitted images, each by a further fit without it; an entry a fit.

    Args:
        catalog: the category's images.
        features: theirs, by block.
        training: the vectors to be fitted.
        parts: the run's.
        cross: as `Parts.cross_fits` returns them.

    Returns:
        None at all where the images that are left admit no fit, which is told.

    Raises:
        UserError: they admit none, and the threshold requires it.
    """
    held_out = []
    for number, split in enumerate(cross, start=1):
        try:
            model = fit(training, split, parts.detector, parts.combination)
        except UserError as error:
            reason = f"fit {number} of {len(cross)} that calibrate, on {len(split.train)} images"
            if parts.threshold.required:
                raise UserError(f"{reason}: {error}") from error
            log.warning("%s: %s; so there is no threshold", reason, error)
            return []
        part = score(catalog, features, model, split).held_out
        if part is not None:
            held_out.append(part)
    return held_out
