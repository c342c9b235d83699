from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from threadpoolctl import threadpool_limits

from gad_bench.config import build, register
from gad_bench.paths import config_folder
from gad_bench.scoring import score
from gad_bench.split import Split


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "oas", "empirical", "diagonal"])
def test_scores_do_not_depend_on_the_number_of_threads(covariance: str) -> None:
    images, rng = 500, np.random.default_rng(0)
    features = {
        b: rng.standard_normal((images, d)).astype(np.float32) for b, d in {0: 160, 1: 290}.items()
    }
    catalog = pd.DataFrame({"path": "", "label": 0, "defect": "good"}, index=range(images))
    split = Split(train=np.arange(400), validation=np.arange(0), test=np.arange(400, images))
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", [f"covariance={covariance}"])
    detector, combination = build(config.detector), build(config.combination)

    def score_on(threads: int) -> np.ndarray:
        with threadpool_limits(threads):
            return score(catalog, features, split, detector, combination).combined

    np.testing.assert_array_equal(score_on(1), score_on(2))
