"""Exported graphs against the detector, for every kind of fitted part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from saved import Saved

from gad_bench import Detector
from gad_bench.base.errors import UserError
from gad_bench.deploy.exporting import run_graph, write_onnx, write_openvino
from gad_bench.features.extraction import read_input
from gad_bench.gaussian import Samples, combination
from gad_bench.gaussian.baselines import NearestNeighbours
from gad_bench.gaussian.covariance import Diagonal, Empirical, LedoitWolf
from gad_bench.gaussian.detector import GaussianDetector
from gad_bench.gaussian.metric import SpectralMahalanobis
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.nonlinear import NonlinearLedoitWolf
from gad_bench.gaussian.normalisation import NoNormalisation, UnitLength
from gad_bench.gaussian.reduction import NoReduction, PrincipalComponents, RandomFeatures

torch = pytest.importorskip("torch")

NONE: dict[str, Any] = {"normalisation": NoNormalisation(), "reduction": NoReduction()}
LEDOIT_WOLF = GaussianDetector(covariance=LedoitWolf(), **NONE)
FITTED = [
    (LEDOIT_WOLF, combination.Mean()),
    (GaussianDetector(covariance=Empirical(), **NONE), combination.SumOfSquares()),
    (GaussianDetector(covariance=Diagonal(), **NONE), combination.Maximum()),
    (GaussianDetector(covariance=NonlinearLedoitWolf(), **NONE), combination.StandardisedMean()),
    (
        GaussianDetector(
            covariance=LedoitWolf(),
            normalisation=UnitLength(),
            reduction=PrincipalComponents(threshold=0.9, negated=True),
        ),
        combination.Mean(),
    ),
    (
        GaussianDetector(
            covariance=LedoitWolf(),
            normalisation=NoNormalisation(),
            reduction=RandomFeatures(dimensions=3, seed=0),
        ),
        combination.Mean(),
    ),
]


@pytest.fixture(scope="module")
def pixels(saved: Saved) -> NDArray[np.uint8]:
    """Three test images as the graph takes them."""
    size = Detector.load(saved.folder).scorer.backbone.image_size()
    return np.stack([read_input(path, size) for path in saved.paths[:3]])


def refitted(saved: Saved, detector: Any, combined: Any, samples: int = 60) -> Detector:
    """The saved detector with other Gaussians, fitted on vectors near its own features."""
    loaded = Detector.load(saved.folder)
    generator = np.random.default_rng(0)
    features = {
        block: fitted.metric.mean
        + generator.normal(size=(samples, fitted.width)) @ np.diag(0.1 * fitted.metric.mean)
        for block, fitted in loaded.scorer.model.blocks.items()
    }
    blocks = {block: detector.fit(Samples(own)) for block, own in features.items()}
    everything = np.concatenate(list(features.values()), axis=1)
    model = FittedModel(
        blocks=blocks,
        combination=combined,
        fitted_scores=np.column_stack([blocks[own].score(features[own]) for own in blocks]),
        as_one=detector.fit(Samples(everything))
        if isinstance(combined, combination.Concatenated)
        else None,
    )
    return replace(loaded, scorer=replace(loaded.scorer, model=model))


def assert_scores_agree(detector: Detector, file: Path, pixels: NDArray[np.uint8]) -> None:
    expected = detector.predict(list(pixels))
    found = run_graph(file, pixels)
    np.testing.assert_allclose(found["score"], expected.scores, rtol=1e-4)
    np.testing.assert_allclose(
        found["blocks"], np.column_stack(list(expected.blocks.values())), rtol=1e-4
    )


@pytest.mark.parametrize(("detector", "combined"), FITTED, ids=repr)
def test_openvino_scores_the_same_by_every_covariance_and_every_combination(
    saved: Saved, pixels: NDArray[np.uint8], detector: Any, combined: Any, tmp_path: Path
) -> None:
    other = refitted(saved, detector, combined)
    write_openvino(other, tmp_path / "it.xml")
    assert_scores_agree(other, tmp_path / "it.xml", pixels)


def test_and_where_vectors_are_fewer_than_dimensions(
    saved: Saved, pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    other = refitted(saved, LEDOIT_WOLF, combination.Concatenated(), samples=20)
    assert isinstance(other.scorer.model.as_one.metric, SpectralMahalanobis)
    write_openvino(other, tmp_path / "it.xml")
    assert_scores_agree(other, tmp_path / "it.xml", pixels)


def test_onnx_scores_the_same_in_a_batch(
    saved: Saved, pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason="format=onnx needs the extra gad-bench[export]")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    detector = Detector.load(saved.folder)
    write_onnx(detector, tmp_path / "it.onnx")
    assert_scores_agree(detector, tmp_path / "it.onnx", pixels)


def test_a_baseline_is_refused(saved: Saved, tmp_path: Path) -> None:
    other = refitted(saved, NearestNeighbours(k=1, **NONE), combination.Mean())
    with pytest.raises(UserError, match="only detector=gaussian"):
        write_openvino(other, tmp_path / "it.xml")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_graph_and_says_how_equal_it_is(saved: Saved) -> None:
    arguments = ["detector=detector", "format=openvino", f"images={saved.paths[0]}"]
    output, _ = saved.command("gad_bench.export", *arguments)
    assert "detector.xml: scores of 1 images differ by" in output
    assert (saved.work / "detector.bin").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["format=tflite"], "format=tflite is unknown"),
        (["format=openvino", "output=it.onnx"], "must end in .xml"),
        (["format=openvino", "tolerance=1e-15", "output=strict.xml"], "scores otherwise"),
    ],
)
def test_a_mistake_ends_in_one_line(saved: Saved, arguments: list[str], message: str) -> None:
    _, errors = saved.command("gad_bench.export", "detector=detector", *arguments, status=2)
    (line,) = errors.splitlines()
    assert message in line
