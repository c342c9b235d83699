"""Several callers of one detector at once: nobody's answer depends on who else asks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from program import Program
from saved import DEMO

from gad_bench import Detector
from gad_bench.base.errors import UserError
from gad_bench.deploy.detector import Predictions
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime

CALLERS, CALLS = 6, 5
SIZES = [1, 5, 2, 7, 3]
BANK = ["backbone=filterbank", "backbone.input_size=64", "backbone.octaves=2"]
MAHALANOBIS = ["localisation=mahalanobis", "localisation.grid=16", "localisation.blocks=[1,2]"]
PATCHES = ["detector=patchcore", "detector.blocks=[1,2]"]
PADIM = ["localisation=padim", "localisation.grid=8", "localisation.dimensions=10"]
RUNTIMES = [OpenVinoRuntime(), TorchRuntime()]

Fit = Callable[..., Detector]


@pytest.fixture
def fit(program: Program) -> Fit:
    """A detector of the demo's wood, of which `images` are the test images."""

    def fit(*overrides: str) -> Detector:
        shutil.rmtree("it", ignore_errors=True)
        run = ["dataset=demo", "category=wood", "tracking=none", *DEMO[1:], "fold=full"]
        outcome = program(*run, "figures=false", "save=it", *overrides)
        assert outcome.status == 0, outcome.errors
        return Detector.load("it", batch_size=4)

    return fit


@pytest.fixture
def images() -> list[bytes]:
    """Files of images that differ, each a different number of pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (max(SIZES), 20, 20, 3), np.uint8)
    sides = range(60, 60 + max(SIZES))
    large = [cv2.resize(image, (side, side)) for image, side in zip(noise, sides, strict=True)]
    return [cv2.imencode(".png", image)[1].tobytes() for image in large]


def with_runtime(detector: Detector, runtime: TorchRuntime | OpenVinoRuntime) -> Detector:
    return replace(detector, scorer=replace(detector.scorer, runtime=runtime))


def numbers(found: Predictions) -> list[NDArray[np.floating]]:
    maps = [found.heat_maps.grids] if found.heat_maps else []
    return [found.scores, *found.blocks.values(), *maps]


def answers(detector: Detector, images: list[bytes], callers: int) -> list[Predictions]:
    """Ask in the same order, by so many callers; the calls are of mixed sizes."""
    sizes = [SIZES[call % len(SIZES)] for call in range(CALLERS * CALLS)]
    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(lambda size: detector.predict(images[:size]), sizes))


def assert_nobody_notices_the_others(detector: Detector, images: list[bytes]) -> None:
    together, alone = answers(detector, images, CALLERS), answers(detector, images, 1)
    for one, other in zip(together, alone, strict=True):
        for found, expected in zip(numbers(one), numbers(other), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("runtime", RUNTIMES, ids=["openvino", "torch"])
@pytest.mark.parametrize(
    "overrides", [[], MAHALANOBIS, PADIM, PATCHES], ids=["scores", "maps", "padim", "patches"]
)
def test_every_caller_gets_what_it_would_get_alone(
    fit: Fit, images: list[bytes], runtime: TorchRuntime | OpenVinoRuntime, overrides: list[str]
) -> None:
    detector = with_runtime(fit(*BANK, *overrides), runtime)
    assert_nobody_notices_the_others(detector, images)


def test_so_it_is_with_a_pretrained_network(fit: Fit, images: list[bytes], assets: Path) -> None:
    weights = assets / "weights" / "mobilenetv2_100.pth"
    network = ["backbone=timm", "backbone.name=mobilenetv2_100", "backbone.input_size=96"]
    detector = fit(*network, f"backbone.weights={weights}", "blocks.indices=[1,3]", *PADIM)
    assert_nobody_notices_the_others(detector, images)


@pytest.mark.parametrize("runtime", RUNTIMES, ids=["openvino", "torch"])
def test_a_callers_error_is_its_own(
    fit: Fit, images: list[bytes], runtime: TorchRuntime | OpenVinoRuntime
) -> None:
    detector = with_runtime(fit(*BANK), runtime)

    def ask(call: int) -> Predictions | None:
        if call % 3:
            return detector.predict(images)
        with pytest.raises(UserError, match="image 5 cannot be read"):
            detector.predict([*images[:5], b"no image", *images])
        return None

    with ThreadPoolExecutor(CALLERS) as threads:
        found = [answer for answer in threads.map(ask, range(CALLERS * CALLS)) if answer]
    alone = detector.predict(images)
    for answer in found:
        np.testing.assert_array_equal(answer.scores, alone.scores)


def test_two_detectors_with_heat_maps_keep_their_models_and_an_equal_one_shares_them(
    fit: Fit, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    compile_for = OpenVinoRuntime.compile

    def counted(self: OpenVinoRuntime, *arguments: object) -> object:
        compiled.append(arguments)
        return compile_for(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(OpenVinoRuntime, "compile", counted)
    some = with_runtime(fit(*BANK, *MAHALANOBIS), RUNTIMES[0])
    other = with_runtime(fit(*BANK, "backbone.orientations=4", *PADIM), RUNTIMES[0])
    equal = with_runtime(Detector.load("it"), RUNTIMES[0])
    compiled.clear()
    with ThreadPoolExecutor(CALLERS) as threads:
        for _ in threads.map(lambda one: one.predict(images[:1]), [some, other, equal] * 6):
            pass
    assert len(compiled) <= 4


@pytest.mark.parametrize("overrides", [[], PATCHES], ids=["pooled", "patches"])
def test_a_detector_in_use_can_be_pickled(
    fit: Fit, images: list[bytes], overrides: list[str]
) -> None:
    import pickle

    detector = fit(*BANK, *overrides)
    scores = detector.predict(images).scores
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy.predict(images).scores, scores)
