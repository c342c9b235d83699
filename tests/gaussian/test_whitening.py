"""Whitening by every covariance: the Euclidean distance from 0 is the metric's."""

from __future__ import annotations

import numpy as np
import pytest
from hydra.utils import instantiate
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import compose_config
from gad_bench.gaussian.metric import Metric
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.whitening import whitening

COVARIANCES = sorted(path.stem for path in (config_folder() / "covariance").iterdir())


@pytest.mark.parametrize("count", [13, 200])
@pytest.mark.parametrize("name", COVARIANCES)
def test_whitened_vectors_are_as_far_from_zero_as_the_metric_says(name: str, count: int) -> None:
    if count == 13 and name in ("empirical", "min_cov_det"):
        pytest.skip("it needs more samples than features")
    generator = np.random.default_rng(0)
    values = generator.standard_normal((count, 14)) * np.linspace(1, 3, 14) + 5
    values[:, 1:] += values[:, :-1]
    if name != "empirical":
        values[:, 3] = 7  # a feature that does not vary
    metric = instantiate(compose_config([f"covariance={name}"]).covariance).fit(Samples(values))
    tested = 5 + 4 * generator.standard_normal((20, 14))
    found = np.linalg.norm(whitening(metric).apply(tested), axis=1)
    np.testing.assert_allclose(found, metric.distance(tested), rtol=1e-9)


class FirstFeature(Metric):
    def distance(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.abs(features[:, 0])


def test_a_metric_that_is_no_matrix_is_refused() -> None:
    with pytest.raises(UserError, match="FirstFeature is no distance by a matrix"):
        whitening(FirstFeature())
