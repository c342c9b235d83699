"""Attributions to pixels, against slopes and sums that are taken the long way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from program import Program
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from gad_bench.base.errors import UserError
from gad_bench.data.split import Split
from gad_bench.features.extraction import read_input
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Backbone
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.gaussian import Samples
from gad_bench.gaussian.baselines import NearestNeighbours
from gad_bench.gaussian.combination import Mean
from gad_bench.gaussian.covariance import LedoitWolf
from gad_bench.gaussian.detector import GaussianDetector
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.normalisation import NoNormalisation
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.patches.heat_maps import HeatMaps
from gad_bench.patches.truth import MaskedMaps
from gad_bench.steps.attribution import (
    GRADIENTS,
    INTEGRATED,
    Attribution,
    PixelExplanation,
    inside,
    most_similar,
)
from gad_bench.steps.graph import DetectorGraph

NONE: dict[str, Any] = {"normalisation": NoNormalisation(), "reduction": NoReduction()}
GAUSSIAN = GaussianDetector(covariance=LedoitWolf(), **NONE)
SMALL = ["experiment=demo", "dataset.train=20", "dataset.test_good=6", "dataset.test_defective=2"]
SMALL += ["backbone.input_size=64", "backbone.octaves=2"]
Images = NDArray[np.uint8]


def explanation(method: str = INTEGRATED, steps: int = 24, sigma: float = 0.0) -> PixelExplanation:
    return PixelExplanation(method=method, steps=steps, sigma=sigma)


def fitted(backbone: Backbone, images: Images) -> tuple[FittedModel, Callable[..., float]]:
    """A model of images, and the score of one by the program's way: features, then NumPy."""
    network = backbone.build(backbone.block_count() - 1)

    def features(pixels: Images) -> dict[int, NDArray[np.float32]]:
        with torch.inference_mode():
            return dict(enumerate(block.numpy() for block in network(torch.from_numpy(pixels))))

    blocks = {block: GAUSSIAN.fit(Samples(own)) for block, own in features(images).items()}
    model = FittedModel(blocks=blocks, combination=Mean(), fitted_scores=None, as_one=None)
    return model, lambda pixels: float(model.score(features(pixels[None]))[1][0])


@pytest.fixture(scope="module")
def toothbrushes(assets: Path) -> tuple[DetectorGraph, Callable[..., float], Images, Images]:
    """A ResNet's detector of twelve good toothbrushes, a defective one, and a further good one."""
    backbone = TimmBackbone(
        name="resnet18.tv_in1k",
        weights=str(assets / "weights" / "resnet18_layer3.pth"),
        taps=["maxpool", "layer1", "layer2"],
        input_size=112,
    )
    folder = assets / "images" / "toothbrush"
    good = [read_input(str(file), 112) for file in sorted((folder / "train/good").iterdir())[:13]]
    defective = read_input(str(min((folder / "test/defective").iterdir())), 112)
    model, score = fitted(backbone, np.stack(good[:12]))
    return DetectorGraph(model, backbone), score, defective, good[12]


def attribution(way: PixelExplanation, graph: Any, image: Images, start: Images) -> Attribution:
    pytest.importorskip("captum", reason="explanation=pixels needs the extra gad-bench[pixels]")
    (found,) = way.attribute(graph, [(lambda: image, lambda: start)], "cpu")
    return found


def test_integrated_gradients_add_up_to_the_difference_of_the_programs_scores(
    toothbrushes: Any,
) -> None:
    graph, score, image, start = toothbrushes
    found = attribution(explanation(), graph, image, start)
    difference = score(image) - score(start)
    assert difference > 1
    assert found.difference == pytest.approx(difference, rel=1e-4)
    assert found.pixels.sum() == pytest.approx(difference, rel=0.03)
    assert found.gap == pytest.approx(found.pixels.sum() - difference, abs=1e-3)


def test_and_are_slopes_times_steps_on_the_straight_way(toothbrushes: Any) -> None:
    graph, _, image, start = toothbrushes
    found = attribution(explanation(steps=5), graph, image, start)
    way = torch.from_numpy(image.astype(np.float32) - start)
    expected = torch.zeros_like(way)
    for place, weight in zip(*np.polynomial.legendre.leggauss(5), strict=True):
        point = torch.from_numpy(start.astype(np.float32)) + (1 + place) / 2 * way
        point = point.float()[None].requires_grad_()
        (slope,) = torch.autograd.grad(graph(point)[0].sum(), point)
        expected += weight / 2 * slope[0] * way
    expected = expected.sum(-1).numpy()
    np.testing.assert_allclose(found.pixels, expected, atol=1e-3 * np.abs(expected).max())


def test_gradients_are_those_of_finite_differences(toothbrushes: Any) -> None:
    graph, score, image, start = toothbrushes
    slopes = attribution(explanation(GRADIENTS), graph, image, start).pixels
    inner = np.where((image > 2).all(-1) & (image < 253).all(-1), slopes, 0)
    for place in np.argsort(-inner.ravel())[:3]:
        row, column = np.unravel_index(place, inner.shape)
        expected = 0.0
        for channel in range(3):
            step = np.zeros_like(image)
            step[row, column, channel] = 1
            expected += abs(score(image + step) - score(image - step)) / 2
        assert slopes[row, column] == pytest.approx(expected, rel=0.05)


def test_an_even_image_has_slopes_by_the_filter_bank_too() -> None:
    """Where a filter finds nothing its modulus has a kink, and a root no slope."""
    generator = np.random.default_rng(0)
    bank = FilterBank(input_size=64, octaves=2)
    images = generator.integers(0, 256, (8, 64, 64, 3), np.uint8)
    model, score = fitted(bank, images)
    image = images[0].copy()
    image[:32] = 90
    found = attribution(explanation(steps=64), DetectorGraph(model, bank), image, images[1])
    assert found.pixels.sum() == pytest.approx(score(image) - score(images[1]), rel=0.02)
    black = np.zeros_like(image)
    with pytest.raises(UserError, match="no slope in some pixel"):
        attribution(explanation(GRADIENTS), DetectorGraph(model, bank), black, black)


def test_the_most_similar_is_the_nearest_by_standardised_vectors() -> None:
    generator = np.random.default_rng(0)
    features = {0: generator.normal(size=(30, 4)), 3: 50 * generator.normal(size=(30, 7))}
    features[3][:, 2] = 1.0
    split = Split(train=np.arange(20), validation=np.arange(0), test=np.arange(20, 30))
    together = np.hstack(list(features.values()))
    scaler = StandardScaler().fit(together[:20])
    search = NearestNeighbors(n_neighbors=1).fit(scaler.transform(together[:20]))
    expected = search.kneighbors(scaler.transform(together[20:]))[1][:, 0]
    np.testing.assert_array_equal(most_similar(features, split), expected)


def test_the_share_inside_is_of_what_raises_the_score(tmp_path: Path) -> None:
    mask = np.zeros((4, 8), np.uint8)
    mask[1, 2:4] = 255
    paths = {"image": np.zeros((4, 8, 3), np.uint8), "mask": mask}
    for name, pixels in paths.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    image = str(tmp_path / "image.png")
    masks = [str(tmp_path / "mask.png"), "", ""]  # of the last nobody knows
    tested = pd.DataFrame({"path": image, "mask": masks, "label": [1, 0, 1]})
    grids = np.full((3, 8, 8), 1.0, np.float32)
    grids[0, 2:4, 2:4], grids[0, 6:] = 5.0, -9.0
    found = inside(MaskedMaps(HeatMaps(grids=grids, input_size=8, sigma=0), tested), seed=0)
    ends = dict.fromkeys(("inside", "inside_ci_low", "inside_ci_high"), 10 / (24 - 2 + 10))
    assert found == pytest.approx({**ends, "inside_uniform": 2 / 32})


def test_a_run_leaves_a_figure_and_its_numbers_and_is_not_taken_for_one_without(
    program: Program,
) -> None:
    pytest.importorskip("captum", reason="explanation=pixels needs the extra gad-bench[pixels]")
    assert "attribution_inside" not in program(*SMALL, "resume=true").metrics
    asked = [*SMALL, "resume=true", "explanation=pixels", "explanation.steps=8"]
    explained = program(*asked)
    assert explained.status == 0, explained.errors
    found = explained.metrics
    assert 0 < found["attribution_inside_uniform"] < found["attribution_inside"] < 1
    assert 0.5 < found["attribution_pixel_auroc"] <= 1
    assert 0 <= found["attribution_gap"] < 0.2
    assert (explained.runs[-1] / "pixels.png").stat().st_size > 10_000
    again = program(*asked)
    assert "done already" in again.output
    assert (again.runs[-1] / "pixels.png").exists()


@pytest.mark.parametrize(
    ("detector", "combination", "precision", "message"),
    [
        (NearestNeighbours(k=1, **NONE), Mean(), "float32", "only detector=gaussian can"),
        (GAUSSIAN, object(), "float32", "a combination by object cannot be"),
        (GAUSSIAN, Mean(), "bfloat16", "use runtime.precision=float32"),
    ],
)
def test_what_has_no_graph_is_refused(
    detector: Any, combination: Any, precision: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        explanation().require(detector, combination, precision)


def test_captum_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gad_bench.steps.attribution.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"gad-bench\[pixels\]"):
        explanation().require(GAUSSIAN, Mean(), "float32")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["detector=knn"], "NearestNeighbours cannot be exported or explained by pixels"),
        (["explanation.method=guess"], "explanation.method=guess is unknown: choose one of"),
    ],
)
def test_a_refusal_is_one_line_at_the_start(
    program: Program, overrides: list[str], message: str
) -> None:
    outcome = program("experiment=demo", "explanation=pixels", *overrides)
    assert outcome.status == 2
    (line,) = outcome.errors.splitlines()
    assert message in line
