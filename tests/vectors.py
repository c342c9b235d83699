"""Evidence of vectors that are at hand, for tests of what is done with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gad_bench.data.split import Split
from gad_bench.gaussian import Detector
from gad_bench.steps.evidence import VectorEvidence
from gad_bench.steps.parts import Parts
from gad_bench.steps.training import Training


class Vectors(VectorEvidence):
    """Vectors that are at hand: nothing is read or extracted."""

    def __init__(
        self, parts: Parts, table: pd.DataFrame, blocks: dict[int, np.ndarray], split: Split
    ) -> None:
        training = Training(blocks, images=np.arange(len(table)), fitted=np.sort(split.train))
        stored: Any = SimpleNamespace(blocks=blocks)
        config, none = DictConfig({}), cast("Any", None)
        super().__init__(
            config, parts, cast("Detector", parts.detector), table, stored, training, none, none
        )
