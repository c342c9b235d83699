from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import build, register
from gad_bench.gaussian import Detector, Samples
from gad_bench.gaussian.covariance import LedoitWolf
from gad_bench.gaussian.detector import GaussianDetector
from gad_bench.gaussian.normalisation import NoNormalisation, UnitLength
from gad_bench.gaussian.reduction import NoReduction, PrincipalComponents

Array = NDArray[np.float64]


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in Path(config_folder() / group).glob("[!_]*.yaml"))


def detectors_of_vectors() -> list[str]:
    """Those that learn from vectors alone: neither from maps nor from images, nor from labels."""
    others = ("gad_bench.patches", "gad_bench.trained", "gad_bench.gaussian.linear_probe")
    texts = {
        name: (config_folder() / "detector" / f"{name}.yaml").read_text()
        for name in choices("detector")
    }
    return [name for name, text in texts.items() if not any(other in text for other in others)]


@cache
def part(group: str, choice: str) -> Any:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return build(compose("config", overrides=[f"{group}={choice}"])[group])


@cache
def detector(*overrides: str) -> Detector:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return build(compose("config", overrides=[*overrides]).detector)


def plain(covariance: object = None) -> GaussianDetector:
    return GaussianDetector(
        normalisation=NoNormalisation(),
        reduction=NoReduction(),
        covariance=covariance or LedoitWolf(),
    )


def features(count: int, dimension: int = 10) -> Array:
    generator = np.random.default_rng(0)
    mixing = generator.standard_normal((dimension, dimension)) / 3 + np.eye(dimension)
    return np.random.default_rng(count).standard_normal((count, dimension)) @ mixing + 4


@pytest.mark.parametrize(
    ("covariance", "reduction", "normalisation"),
    list(product(*map(choices, ("covariance", "reduction", "normalisation")))),
)
def test_every_choice_fits_and_tells_what_is_far_away(
    covariance: str, reduction: str, normalisation: str
) -> None:
    chosen = GaussianDetector(
        covariance=part("covariance", covariance),
        reduction=part("reduction", reduction),
        normalisation=part("normalisation", normalisation),
    )
    fitted = chosen.fit(Samples(features(90).astype(np.float32)))
    normal = fitted.score(features(40))
    anomalous = fitted.score(features(40) * np.linspace(-2, 3, 10))
    assert np.isfinite(normal).all()
    assert (normal > 0).all()
    assert np.median(anomalous) > np.median(normal)


@pytest.mark.parametrize("name", detectors_of_vectors())
def test_every_detector_is_built_with_reduction_and_normalisation(name: str) -> None:
    chosen = detector(f"detector={name}", "reduction=pca", "normalisation=l2")
    assert chosen.reduction == PrincipalComponents(threshold=0.99, negated=False)
    assert chosen.normalisation == UnitLength()


@pytest.mark.parametrize("name", detectors_of_vectors())
def test_the_same_fit_twice_gives_the_same_scores(name: str) -> None:
    values = features(60)
    first, second = (detector(f"detector={name}").fit(Samples(values)) for _ in range(2))
    np.testing.assert_array_equal(first.score(values), second.score(values))


def test_steps_are_normalisation_reduction_covariance() -> None:
    values = features(60)
    reduction = PrincipalComponents(threshold=0.9, negated=True)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    projected = reduction.fit(Samples(unit)).apply(unit)
    expected = LedoitWolf().fit(Samples(projected)).distance(projected)
    chosen = GaussianDetector(
        normalisation=UnitLength(), reduction=reduction, covariance=LedoitWolf()
    )
    fitted = chosen.fit(Samples(values))
    np.testing.assert_allclose(fitted.score(values), expected, rtol=1e-10)
    assert fitted.dimension == projected.shape[1]


def test_unit_length_makes_lengths_one_and_leaves_zero() -> None:
    scaled = UnitLength().apply(np.array([[3.0, 4.0], [0.0, 0.0], [1e-100, 0.0]]))
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0], [1, 0]])


def test_unit_length_makes_a_vectors_length_irrelevant() -> None:
    fitted = detector("normalisation=l2").fit(Samples(features(60)))
    np.testing.assert_allclose(
        fitted.score(features(9)), fitted.score(1000 * features(9)), rtol=1e-10
    )


@pytest.mark.parametrize("name", detectors_of_vectors())
@pytest.mark.parametrize("reduction", ["none", "random"])
def test_vectors_of_another_width_are_refused_with_both_widths(name: str, reduction: str) -> None:
    fitted = detector(f"detector={name}", f"reduction={reduction}").fit(Samples(features(60)))
    with pytest.raises(UserError, match="to score have 11 features, those that were fitted had 10"):
        fitted.score(features(5, 11))


def test_a_vector_that_is_not_finite_is_refused() -> None:
    fitted = plain().fit(Samples(features(60)))
    wrong = features(5)
    wrong[3, 2] = np.nan
    with pytest.raises(UserError, match="vector 3 of 5 is not finite"):
        fitted.score(wrong)


def test_one_vector_is_scored_alone() -> None:
    values = features(60)
    fitted = plain().fit(Samples(values))
    np.testing.assert_allclose(fitted.score(values[7]), fitted.score(values)[7:8], rtol=1e-12)


def test_no_vector_has_no_score() -> None:
    assert plain().fit(Samples(features(60))).score(np.empty((0, 10))).shape == (0,)
