"""Writing a detector's graph for other runtimes, and holding its scores against the detector's."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import whole_file
from gad_bench.data.folders import find_images
from gad_bench.deploy.detector import SavedDetector
from gad_bench.features.extraction import read_square
from gad_bench.features.interface import Pixels

if TYPE_CHECKING:
    from torch import Tensor

NOISE_IMAGES = 4
INPUT, OUTPUTS = "image", ("score", "blocks")
NEEDED = ("onnx", "onnxscript")


def write_onnx(detector: SavedDetector, output: Path) -> None:
    """Write the graph as ONNX, in one file, for batches of any size.

    Raises:
        UserError: a part has no graph, or the packages that write ONNX are missing.
    """
    import torch

    from gad_bench.steps.graph import DetectorGraph

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise UserError(f"format=onnx needs {names}: pip install 'gad-bench[export]'")
    graph = DetectorGraph(detector.scorer.backbone, detector.scorer.model).eval()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (_blank(detector, batch=2),),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("PyTorch exported nothing")
    for key, value in _facts(detector).items():
        program.model.metadata_props[key] = value
    with whole_file(output) as file:
        program.save(file)


def write_openvino(detector: SavedDetector, output: Path) -> None:
    """Write the graph as OpenVINO's .xml and .bin, in full precision, for single images.

    Raises:
        UserError: a part has no graph.
    """
    import openvino
    import torch

    from gad_bench.steps.graph import DetectorGraph

    graph = DetectorGraph(detector.scorer.backbone, detector.scorer.model).eval()
    blank = _blank(detector, batch=1)
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(graph, blank, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, input=list(blank.shape))
    model.inputs[0].get_tensor().set_names({INPUT})
    for port, name in zip(model.outputs, OUTPUTS, strict=True):
        port.get_tensor().set_names({name})
    for key, value in _facts(detector).items():
        model.set_rt_info(value, ["gad_bench", key])
    with whole_file(output.with_suffix(".bin")) as weights, whole_file(output) as file:
        openvino.save_model(model, str(file), compress_to_fp16=False)
        file.with_suffix(".bin").replace(weights)


def check(
    detector: SavedDetector, output: Path, images: str | None, tolerance: float
) -> tuple[float, int]:
    """Compare a graph's scores with its detector's.

    Args:
        detector: that was exported.
        output: the graph's file.
        images: a pattern of images; None for noise.
        tolerance: the largest relative difference that is allowed.

    Returns:
        The largest relative difference of a score, and the number of images.

    Raises:
        UserError: they differ by more than that; the file stays.
    """
    pixels = _pixels(detector, images)
    expected = detector.predict(list(pixels), heat_maps=False)
    scores, blocks = run_graph(output, pixels)
    ours = np.column_stack([expected.scores, *expected.blocks.values()])
    theirs = np.column_stack([scores, blocks])
    difference = float(np.max(np.abs(theirs - ours) / np.abs(ours)))
    if not difference <= tolerance:
        raise UserError(
            f"{output} scores otherwise, by {difference:.1e} relative: what runtimes round in "
            "float32 weighs so much where a variance is so small; shrink the covariance, keep "
            f"fewer components, or accept it with tolerance={difference:.0e}"
        )
    return difference, len(pixels)


def run_graph(file: Path, pixels: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run a graph on images uint8 [images, S, S, 3]; return scores [images] and [images, blocks].

    ONNX by ONNX Runtime where it is installed, else by OpenVINO.
    """
    if file.suffix == ".onnx" and find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        scores, blocks = session.run(list(OUTPUTS), {INPUT: pixels})
        return np.asarray(scores), np.asarray(blocks)
    import openvino

    model = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = [model(pixels[row : row + 1]) for row in range(len(pixels))]
    scores, blocks = (np.concatenate([own[name] for own in found]) for name in OUTPUTS)
    return scores, blocks


def _pixels(detector: SavedDetector, images: str | None) -> Pixels:
    size = detector.scorer.backbone.image_size()
    if images is None:
        shape = (NOISE_IMAGES, size, size, 3)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return np.stack([read_square(path, size) for path in find_images(images)])


def _facts(detector: SavedDetector) -> dict[str, str]:
    """Return what the graph's user wants to know, as text."""
    rule = detector.scorer.rule
    facts = {key: detector.about[key] for key in ("key", "dataset", "category", "backbone")}
    return facts | {
        "blocks": ",".join(map(str, detector.scorer.blocks)),
        "threshold": "" if rule.threshold is None else repr(rule.threshold),
        "input": "uint8 RGB, resized straight to the square by OpenCV's bilinear",
    }


def _blank(detector: SavedDetector, batch: int) -> Tensor:
    import torch

    size = detector.scorer.backbone.image_size()
    return torch.zeros((batch, size, size, 3), dtype=torch.uint8)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' warnings, on shapes that are fixed here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
