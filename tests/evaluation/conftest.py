from __future__ import annotations

import numpy as np
import pytest

from gad_bench.evaluation import Scores


@pytest.fixture
def scores() -> Scores:
    """Ten good images, five of each of two defects; block 2's score is a distance."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    blocks = {
        block: np.abs(generator.normal(size=20)) + 1 + shift * labels
        for block, shift in ((2, 1.0), (5, 0.3))
    }
    return Scores(
        labels=labels,
        defects=["good"] * 10 + ["crack"] * 5 + ["dent"] * 5,
        blocks=blocks,
        combined=np.mean(list(blocks.values()), axis=0),
        dimensions={2: 4},
    )
