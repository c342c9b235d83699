from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gad_bench.base.errors import UserError
from gad_bench.deploy.decoding import decode
from gad_bench.deploy.format import Arrays, class_name, encode
from gad_bench.gaussian import Samples
from gad_bench.gaussian.baselines import (
    IsolationForest,
    KernelDensity,
    NearestNeighbours,
    OneClassSVM,
)
from gad_bench.gaussian.covariance import Diagonal, Empirical, Identity, LedoitWolf
from gad_bench.gaussian.detector import GaussianDetector
from gad_bench.gaussian.nonlinear import NonlinearLedoitWolf
from gad_bench.gaussian.normalisation import NoNormalisation, UnitLength
from gad_bench.gaussian.projection import Linear
from gad_bench.gaussian.reduction import (
    NoReduction,
    PrincipalComponents,
    RandomFeatures,
    RandomProjection,
)
from gad_bench.gaussian.robust import MinimumCovarianceDeterminant
from gad_bench.gaussian.structured import (
    FactorAnalysis,
    GraphicalLasso,
    ProbabilisticPrincipalComponents,
)
from gad_bench.gaussian.whitening import Whitening
from gad_bench.patches import FittedPatchDetector
from gad_bench.patches.embedding import Embedding
from gad_bench.patches.image_score import Maximum
from gad_bench.patches.memory_bank import NearestPatches
from gad_bench.patches.neighbours import Bank

PLAIN = {"normalisation": NoNormalisation(), "reduction": NoReduction()}
COVARIANCES = [
    Identity(),
    Diagonal(),
    Empirical(),
    LedoitWolf(),
    NonlinearLedoitWolf(),
    MinimumCovarianceDeterminant(support=None, seed=0),
    FactorAnalysis(factors=2, max_iterations=1000),
    GraphicalLasso(alpha=0.1, max_iterations=1000),
    ProbabilisticPrincipalComponents(threshold=0.9),
]
BASELINES = [
    OneClassSVM(nu=0.5, **PLAIN),
    NearestNeighbours(k=2, **PLAIN),
    KernelDensity(bandwidth=1.0, **PLAIN),
]
REDUCTIONS = [
    PrincipalComponents(threshold=0.9, negated=False),
    PrincipalComponents(threshold=0.9, negated=True),
    RandomFeatures(dimensions=3, seed=0),
    RandomProjection(dimensions=3, seed=0),
]
DETECTORS = [
    *(GaussianDetector(covariance=own, **PLAIN) for own in COVARIANCES),
    *BASELINES,
    *(
        GaussianDetector(covariance=LedoitWolf(), normalisation=UnitLength(), reduction=own)
        for own in REDUCTIONS
    ),
]


def through_json(value: object) -> Any:
    arrays: Arrays = {}
    node = json.loads(json.dumps(encode(value, "it", arrays), allow_nan=False))
    return decode(node, arrays)


@pytest.mark.parametrize("detector", DETECTORS, ids=repr)
def test_whatever_is_fitted_scores_the_same_after_it_was_written(detector: Any) -> None:
    generator = np.random.default_rng(0)
    fitted = detector.fit(Samples(generator.normal(size=(60, 6)).astype(np.float32)))
    features = generator.normal(size=(9, 6))
    np.testing.assert_array_equal(through_json(fitted).score(features), fitted.score(features))


def test_fewer_samples_than_dimensions_too() -> None:
    generator = np.random.default_rng(0)
    detector = GaussianDetector(covariance=LedoitWolf(), **PLAIN)
    fitted = detector.fit(Samples(generator.normal(size=(5, 20)).astype(np.float32)))
    features = generator.normal(size=(9, 20))
    np.testing.assert_array_equal(through_json(fitted).score(features), fitted.score(features))


def test_trees_are_refused_by_name() -> None:
    samples = Samples(np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32))
    fitted = IsolationForest(trees=3, seed=0, **PLAIN).fit(samples)
    with pytest.raises(UserError, match=r"it\.metric\.model is a IsolationForest"):
        encode(fitted, "it", {})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, lambda: 0])
def test_what_json_does_not_hold_is_refused(value: object) -> None:
    with pytest.raises(UserError, match="it is a"):
        encode(value, "it", {})


def patches(step: Any, width: int) -> FittedPatchDetector:
    """A detector of patches of three features, with a bank of two vectors."""
    return FittedPatchDetector(
        embedding=Embedding(
            blocks=[0], neighbourhood=1, grid=None, averaged=False, normalisation=UnitLength()
        ),
        width=3,
        scorer=NearestPatches(
            bank=Bank(entries=np.arange(2.0 * width, dtype=np.float32).reshape(2, width)),
            step=step,
            neighbours=1,
        ),
        image_score=Maximum(smoothing=0.0),
        sigma=4.0,
    )


TO_TWO = Linear(np.zeros(3), np.eye(3)[:, :2])


@pytest.mark.parametrize(
    ("step", "width"), [(NoReduction(), 3), (TO_TWO, 2), (Whitening([TO_TWO]), 2)]
)
def test_patches_are_as_long_as_those_of_their_bank(step: Any, width: int) -> None:
    maps = {0: np.random.default_rng(0).random((1, 3, 4, 4), np.float32)}
    fitted = patches(step, width)
    np.testing.assert_array_equal(
        through_json(fitted).score(maps).images, fitted.score(maps).images
    )
    with pytest.raises(UserError, match="width and scorer do not fit one another"):
        through_json(patches(step, width + 1))


@pytest.mark.parametrize("place", [("embedding", "normalisation"), ("scorer", "step")])
@pytest.mark.parametrize("value", ["no part", None, {"class": class_name(Maximum), "smoothing": 0}])
def test_a_part_of_a_detector_on_patches_is_what_belongs_there(
    place: tuple[str, str], value: Any
) -> None:
    arrays: Arrays = {}
    node = encode(patches(NoReduction(), 3), "it", arrays)
    node[place[0]][place[1]] = value
    with pytest.raises(UserError, match=rf"it\.{place[0]}\.{place[1]}"):
        decode(node, arrays)


@pytest.mark.parametrize(
    ("channels", "wrong"),
    [
        ([[0, 1, 2]], "channels has the shape"),
        ([], "channels has the shape"),
        ([-1, 0, 1], "channels must rise"),
        ([0, 2, 2], "channels must rise"),
        ([0, 1], "width and channels do not fit one another"),
    ],
)
def test_channels_are_rows_that_rise_and_as_many_as_a_vector_is_long(
    channels: list[Any], wrong: str
) -> None:
    arrays: Arrays = {}
    node = encode(patches(NoReduction(), 3), "it", arrays)
    node["embedding"]["channels"] = {"array": "it.embedding.channels"}
    arrays["it.embedding.channels"] = np.array(channels, np.intp)
    with pytest.raises(UserError, match=wrong):
        decode(node, arrays)


def test_a_smoothing_beyond_any_image_is_refused() -> None:
    node = encode(patches(NoReduction(), 3), "it", arrays := dict[str, Any]())
    with pytest.raises(UserError, match="it: sigma is no smoothing"):
        decode(node | {"sigma": 1e300}, arrays)
    node["image_score"]["smoothing"] = 1e300
    with pytest.raises(UserError, match=r"it\.image_score: .*must lie in"):
        decode(node, arrays)


def test_keys_keep_their_type() -> None:
    assert through_json({0: "a", "b": [1, None, True, 2.5]}) == {0: "a", "b": [1, None, True, 2.5]}


@dataclass(frozen=True)
class Foreign:
    """A class of the user's own."""

    number: int


def test_a_class_of_another_package_is_built_only_where_it_is_trusted() -> None:
    node = encode(Foreign(3), "it", {})
    with pytest.raises(UserError, match="trust"):
        decode(node, {})
    assert decode(node, {}, trusted=[Foreign.__module__]) == Foreign(3)


@pytest.mark.parametrize(
    "name", ["os.system", "gad_bench.base.files.write_text", "gad_bench.no.Such", "None"]
)
def test_a_name_that_is_no_dataclass_of_ours_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        decode({"class": name}, {})


def test_fields_of_another_version_are_refused() -> None:
    with pytest.raises(UserError, match=r"another version of gad_bench\.gaussian\.metric"):
        decode({"class": "gad_bench.gaussian.metric.RootMeanSquare", "centre": 1}, {})
