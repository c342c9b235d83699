"""From features to scores: one detector per block, their scores combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread
from gad_bench.data.split import Rows, Split
from gad_bench.evaluation import HeldOut, Scores
from gad_bench.features.interface import Features
from gad_bench.gaussian import Combination, Detector, FittedBlock, Samples
from gad_bench.gaussian.detector import FittedMetric
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.statistics import Matrix, Vector
from gad_bench.steps.training import ROWS_AT_ONCE, Training


@one_thread()
def fit(
    training: Training, split: Split, detector: Detector, combination: Combination
) -> FittedModel:
    """Fit a detector per block, and what else the combination says that it needs.

    Raises:
        UserError: a block's features admit no fit; names the block.
    """
    blocks = {
        block: _fit(detector, f"block {block}", training.samples(block, split))
        for block in training.blocks
    }
    rows = training.rows(split)
    fitted_scores, as_one = None, None
    if "fitted_scores" in combination.needs:
        fitted_scores = _block_scores(blocks, training.blocks, rows)
    if "as_one" in combination.needs:
        together = Samples(_side_by_side(training.blocks), rows)
        as_one = _fit(detector, "all blocks as one vector", together)
    return FittedModel(
        blocks=blocks, combination=combination, fitted_scores=fitted_scores, as_one=as_one
    )


@one_thread()
def score(
    catalog: pd.DataFrame, features: Mapping[int, Features], model: FittedModel, split: Split
) -> Scores:
    """Score the split's test and validation rows.

    Raises:
        UserError: the combination admits no score of these.
    """
    rows = np.concatenate([split.test, split.validation])
    by_block, combined = score_rows(model, features, rows)
    return _parted(catalog, split, model, dict(zip(features, by_block.T, strict=True)), combined)


def score_rows(
    model: FittedModel, features: Mapping[int, Features], rows: Rows
) -> tuple[Matrix, Vector]:
    """Score some of the images, in memory that does not depend on their number.

    Returns:
        The blocks' scores [rows, blocks] and the images' [rows].
    """
    if not len(rows):
        return np.empty((0, len(model.blocks))), np.empty(0)
    parts = [
        model.score({block: values[chosen] for block, values in features.items()})
        for chosen in _at_once(rows)
    ]
    by_block, combined = (np.concatenate(part) for part in zip(*parts, strict=True))
    return by_block, combined


def kept_dimensions(model: FittedModel) -> dict[int, tuple[int, int]]:
    """Return by block how many dimensions the score sees, and of how many, where that is known."""
    return {
        block: (fitted.kept, fitted.width)
        for block, fitted in model.blocks.items()
        if isinstance(fitted, FittedMetric)
    }


def _parted(
    catalog: pd.DataFrame,
    split: Split,
    model: FittedModel,
    blocks: Mapping[int, Vector],
    combined: Vector,
) -> Scores:
    """Part the scores, and tell which of the blocks' are Mahalanobis distances."""
    dimensions = {block: fitted.dimension for block, fitted in model.blocks.items()}
    samples = {block: fitted.samples for block, fitted in model.blocks.items()}
    return replace(
        parted_scores(catalog, split, combined, blocks),
        dimensions={block: known for block, known in dimensions.items() if known is not None},
        samples={block: known for block, known in samples.items() if known is not None},
        kept=kept_dimensions(model),
    )


def parted_scores(
    catalog: pd.DataFrame,
    split: Split,
    combined: Vector,
    blocks: Mapping[int, Vector] = MappingProxyType({}),
) -> Scores:
    """Part the scores of the test rows from those of the validation rows, which follow them.

    Of the latter the good images' are kept: by them alone is a threshold calibrated.
    """
    count, labels = len(split.test), catalog["label"].to_numpy()
    good = np.flatnonzero(labels[split.validation] == 0)
    held_out = HeldOut(
        images=split.validation[good],
        blocks={block: values[count:][good] for block, values in blocks.items()},
        combined=combined[count:][good],
    )
    return Scores(
        labels=labels[split.test],
        defects=list(catalog["defect"].iloc[split.test]),
        blocks={block: values[:count] for block, values in blocks.items()},
        combined=combined[:count],
        dimensions={},
        held_out=held_out if len(good) else None,
    )


def _fit(detector: Detector, name: str, samples: Samples) -> FittedBlock:
    try:
        return detector.fit(samples)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _block_scores(
    fitted: Mapping[int, FittedBlock], features: Mapping[int, Features], rows: Rows
) -> Matrix:
    """Return the scores of rows [rows, blocks]."""
    return np.column_stack(
        [
            np.concatenate([own.score(features[block][chosen]) for chosen in _at_once(rows)])
            for block, own in fitted.items()
        ]
    )


def _at_once(rows: Rows) -> list[Rows]:
    """Part rows, so that the copies of those that are scored together take little memory."""
    return [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]


def _side_by_side(blocks: Mapping[int, Features]) -> Features:
    """Return all blocks' features as one vector an image [images, dim]."""
    return np.concatenate(list(blocks.values()), axis=1)
