"""From features to scores: one detector per block, their scores combined."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gad_bench.errors import UserError
from gad_bench.evaluation import HeldOut, Scores
from gad_bench.features.interface import Features
from gad_bench.gaussian import Combination, Detector, Evidence, FittedDetector, Samples
from gad_bench.gaussian.statistics import Matrix, Vector
from gad_bench.split import Rows, Split
from gad_bench.threads import one_thread
from gad_bench.training import Training

ROWS_AT_ONCE = 8192


@one_thread()
def score(
    catalog: pd.DataFrame,
    features: dict[int, Features],
    training: Training,
    split: Split,
    detector: Detector,
    combination: Combination,
) -> Scores:
    """Fit a detector per block on the training vectors; score the split's test and validation rows.

    Raises:
        UserError: a block's features admit no fit; names the block.
    """
    check_finite(catalog, features)
    if training.blocks is not features:
        check_finite(catalog.iloc[training.images], training.blocks)
    fitted = fit_blocks(training, split, detector)

    def scores_of(blocks: dict[int, Features], rows: Rows) -> Matrix:
        columns = [score_rows(fitted[block], values, rows) for block, values in blocks.items()]
        return np.column_stack(columns)

    rows = np.concatenate([split.test, split.validation])

    def score_as_one() -> Vector:
        together = fit_as_one(training, split, detector)
        return score_rows(together, side_by_side(features), rows)

    scored = scores_of(features, rows)
    evidence = Evidence(
        scores=scored,
        fitted_scores=lambda: scores_of(training.blocks, training.rows(split)),
        score_as_one=score_as_one,
    )
    blocks = dict(zip(features, scored.T, strict=True))
    return _parted(catalog, split, fitted, blocks, combination.combine(evidence))


def _parted(
    catalog: pd.DataFrame,
    split: Split,
    fitted: Mapping[int, FittedDetector],
    blocks: Mapping[int, Vector],
    combined: Vector,
) -> Scores:
    """Part the scores of the test rows from those of the validation rows, which follow them."""
    count = len(split.test)
    held_out = HeldOut(
        images=split.validation,
        blocks={block: values[count:] for block, values in blocks.items()},
        combined=combined[count:],
    )
    dimensions = {block: model.dimension for block, model in fitted.items()}
    samples = {block: model.samples for block, model in fitted.items()}
    return Scores(
        labels=catalog["label"].to_numpy()[split.test],
        defects=list(catalog["defect"].iloc[split.test]),
        blocks={block: values[:count] for block, values in blocks.items()},
        combined=combined[:count],
        dimensions={block: known for block, known in dimensions.items() if known is not None},
        samples={block: known for block, known in samples.items() if known is not None},
        held_out=held_out if len(split.validation) else None,
    )


def fit_blocks(training: Training, split: Split, detector: Detector) -> dict[int, FittedDetector]:
    """Fit a detector per block on the vectors that a fold fits.

    Raises:
        UserError: a block's features admit no fit; names the block.
    """
    return {
        block: _fit(detector, f"block {block}", training.samples(block, split))
        for block in training.blocks
    }


def fit_as_one(training: Training, split: Split, detector: Detector) -> FittedDetector:
    """Fit one detector on all blocks' features as one vector.

    Raises:
        UserError: the features admit no fit.
    """
    samples = Samples(side_by_side(training.blocks), training.rows(split))
    return _fit(detector, "all blocks as one vector", samples)


def check_finite(catalog: pd.DataFrame, features: dict[int, Features]) -> None:
    """Refuse features that are NaN or infinite.

    Raises:
        UserError: names the first such image and block.
    """
    for block, values in features.items():
        wrong = [
            start + row
            for start in range(0, len(values), ROWS_AT_ONCE)
            for row in _not_finite(values[start : start + ROWS_AT_ONCE])
        ]
        if wrong:
            raise UserError(
                f"{catalog['path'].iloc[wrong[0]]}: its features of block {block} are not finite "
                f"({len(wrong)} images in all): check the weights, or use runtime.precision=float32"
            )


def _not_finite(values: Features) -> Rows:
    return np.flatnonzero(~np.isfinite(values).all(axis=1))


def side_by_side(blocks: Mapping[int, Features]) -> Features:
    """Return all blocks' features as one vector an image [images, dim]."""
    return np.concatenate(list(blocks.values()), axis=1)


def _fit(detector: Detector, name: str, samples: Samples) -> FittedDetector:
    try:
        return detector.fit(samples)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def score_rows(fitted: FittedDetector, values: Features, rows: Rows) -> Vector:
    """Score rows, so many at once that their copies take little memory."""
    starts = range(0, len(rows), ROWS_AT_ONCE)
    return np.concatenate(
        [fitted.score(values[rows[start : start + ROWS_AT_ONCE]]) for start in starts]
    )
