"""From features to scores: one detector per block, their scores combined."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gad_bench.errors import UserError
from gad_bench.evaluation import Scores
from gad_bench.features.interface import Features
from gad_bench.gaussian import Combination, Detector, Evidence, FittedDetector, Samples
from gad_bench.gaussian.statistics import Matrix, Vector
from gad_bench.split import Rows, Split

ROWS_AT_ONCE = 8192


def score(
    catalog: pd.DataFrame,
    features: dict[int, Features],
    split: Split,
    detector: Detector,
    combination: Combination,
) -> Scores:
    """Fit a detector per block on the split's training rows and score its test rows.

    Raises:
        UserError: a block's features admit no fit; names the block.
    """
    check_finite(catalog, features)
    fitted = fit_blocks(detector, features, split.train)

    def scores_of(rows: Rows) -> Matrix:
        return np.column_stack(
            [_score(fitted[block], values, rows) for block, values in features.items()]
        )

    def score_as_one() -> Vector:
        joined = np.concatenate(list(features.values()), axis=1)
        together = _fit(detector, "all blocks as one vector", joined, split.train)
        return _score(together, joined, split.test)

    tested = scores_of(split.test)
    evidence = Evidence(
        scores=tested, fitted_scores=lambda: scores_of(split.train), score_as_one=score_as_one
    )
    return Scores(
        labels=catalog["label"].to_numpy()[split.test],
        defects=list(catalog["defect"].iloc[split.test]),
        blocks=dict(zip(features, tested.T, strict=True)),
        combined=combination.combine(evidence),
        dimensions={
            block: model.dimension for block, model in fitted.items() if model.dimension is not None
        },
    )


def fit_blocks(
    detector: Detector, features: dict[int, Features], rows: Rows
) -> dict[int, FittedDetector]:
    """Fit a detector per block on some rows.

    Raises:
        UserError: a block's features admit no fit; names the block.
    """
    return {
        block: _fit(detector, f"block {block}", values, rows) for block, values in features.items()
    }


def check_finite(catalog: pd.DataFrame, features: dict[int, Features]) -> None:
    """Refuse features that are NaN or infinite.

    Raises:
        UserError: names the first such image and block.
    """
    for block, values in features.items():
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(wrong):
            raise UserError(
                f"{catalog['path'].iloc[wrong[0]]}: its features of block {block} are not finite "
                f"({len(wrong)} images in all): check the weights, or use runtime.precision=float32"
            )


def _fit(detector: Detector, name: str, values: Features, rows: Rows) -> FittedDetector:
    try:
        return detector.fit(Samples(values, rows))
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _score(fitted: FittedDetector, values: Features, rows: Rows) -> Vector:
    """Score rows, so many at once that their copies take little memory."""
    starts = range(0, len(rows), ROWS_AT_ONCE)
    return np.concatenate(
        [fitted.score(values[rows[start : start + ROWS_AT_ONCE]]) for start in starts]
    )
