"""Several folds' scores as one: their metrics' means, and each image's mean score."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from gad_bench.evaluation.definitions import SOUND, Definitions
from gad_bench.evaluation.evaluate import Scores, evaluate

Rows = NDArray[np.intp]


def evaluate_folds(
    folds: Sequence[Scores], *, seed: int, definitions: Definitions = SOUND
) -> dict[str, float]:
    """Return the means over folds of every metric that all of them have, and each fold's AUROC.

    The ends of the AUROC's interval are means too: those of one fold, not of the folds' mean.

    Raises:
        UserError: a test set lacks good or anomalous images, or a score is not finite.
    """
    metrics = [evaluate(scores, seed=seed, definitions=definitions) for scores in folds]
    if len(metrics) == 1:
        return metrics[0]
    shared = [key for key in metrics[0] if all(key in fold for fold in metrics)]
    means = {key: float(np.mean([fold[key] for fold in metrics])) for key in shared}
    return means | {f"auroc_fold_{number}": fold["auroc"] for number, fold in enumerate(metrics)}


def average_folds(folds: Sequence[Scores], tested: Sequence[Rows]) -> tuple[Scores, Rows]:
    """Return the mean score of every image that all folds test, and which images those are.

    A block's degrees of freedom are kept where the folds agree on them.

    Args:
        folds: the folds' scores.
        tested: of each fold's scores the images, in rising order.
    """
    if len(folds) == 1:
        return folds[0], tested[0]
    common = reduce(np.intersect1d, tested)
    places = [np.searchsorted(rows, common) for rows in tested]

    def mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        chosen = [fold[place] for fold, place in zip(values, places, strict=True)]
        return np.asarray(np.mean(chosen, axis=0))

    first = folds[0]
    scores = Scores(
        labels=first.labels[places[0]],
        defects=[first.defects[place] for place in places[0]],
        blocks={block: mean([fold.blocks[block] for fold in folds]) for block in first.blocks},
        combined=mean([fold.combined for fold in folds]),
        dimensions={
            block: dimension
            for block, dimension in first.dimensions.items()
            if all(fold.dimensions.get(block) == dimension for fold in folds)
        },
    )
    return scores, common
