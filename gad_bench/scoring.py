"""From features to scores: one detector per block, their scores combined."""

from __future__ import annotations

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from gad_bench.errors import UserError
from gad_bench.evaluation import Scores
from gad_bench.features.interface import Features
from gad_bench.gaussian import Combination, Detector, FittedDetector, Samples
from gad_bench.split import Split


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
    with threadpool_limits(1):  # which sum in one order: the same last bit on any machine
        return _score(catalog, features, split, detector, combination)


def _score(
    catalog: pd.DataFrame,
    features: dict[int, Features],
    split: Split,
    detector: Detector,
    combination: Combination,
) -> Scores:
    fitted = {
        block: _fit(detector, block, Samples(values).take(split.train))
        for block, values in features.items()
    }

    def scores_of(rows: np.ndarray) -> np.ndarray:
        columns = [fitted[block].score(values[rows]) for block, values in features.items()]
        return np.column_stack(columns)

    tested = scores_of(split.test)
    return Scores(
        labels=catalog["label"].to_numpy()[split.test],
        defects=list(catalog["defect"].iloc[split.test]),
        blocks=dict(zip(features, tested.T, strict=True)),
        combined=combination.combine(tested, scores_of(split.train)),
        dimensions={
            block: model.dimension for block, model in fitted.items() if model.dimension is not None
        },
    )


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


def _fit(detector: Detector, block: int, samples: Samples) -> FittedDetector:
    try:
        return detector.fit(samples)
    except UserError as error:
        raise UserError(f"block {block}: {error}") from error
