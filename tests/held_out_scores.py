"""Scores of a fold with images held out, as a run makes them."""

from __future__ import annotations

import numpy as np

from gad_bench.evaluation import HeldOut, Scores, Threshold

GOOD, ANOMALOUS, HELD_OUT = 40, 20, 39
BOTH = Threshold(fpr=0.1, methods=["gaussian", "conformal"], required=False)


def fold(number: int = 0, held_out: int = HELD_OUT) -> Scores:
    """Block 2's score is the distance of Gaussian vectors, block 5's is none."""
    generator = np.random.default_rng(number)
    labels = np.repeat([0, 1], [GOOD, ANOMALOUS])
    blocks = {
        2: np.sqrt(generator.chisquare(4, GOOD + ANOMALOUS)) + 1.5 * labels,
        5: generator.random(GOOD + ANOMALOUS) + labels,
    }
    unseen = {2: np.sqrt(generator.chisquare(4, held_out)), 5: generator.random(held_out)}
    return Scores(
        labels=labels,
        defects=["good"] * GOOD + ["dent"] * ANOMALOUS,
        blocks=blocks,
        combined=blocks[2] + blocks[5],
        dimensions={2: 4},
        held_out=HeldOut(
            images=np.arange(held_out) + number * held_out,
            blocks=unseen,
            combined=unseen[2] + unseen[5],
        ),
    )


def rows(*folds: Scores) -> list[np.ndarray]:
    return [np.arange(100, 100 + len(scores.labels)) for scores in folds]
