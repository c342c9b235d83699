"""Writing a detector's graph for other runtimes, and holding its scores against the detector's."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import whole_file
from gad_bench.data.folders import find_images
from gad_bench.deploy.detector import SavedDetector
from gad_bench.features.extraction import read_input
from gad_bench.features.interface import Pixels, height_and_width
from gad_bench.gaussian.model import FittedModel
from gad_bench.patches import FittedPatchDetector

if TYPE_CHECKING:
    from torch import Tensor

    from gad_bench.deploy.patch_graph import PatchGraph
    from gad_bench.steps.graph import DetectorGraph

    Graph = DetectorGraph | PatchGraph

NOISE_IMAGES = 4
INPUT = "image"
NEEDED = ("onnx", "onnxscript")
LARGEST_ONNX = 2**31  # bytes


def write_onnx(detector: SavedDetector, output: Path) -> None:
    """Write the graph as ONNX, in one file, for batches of any size.

    Raises:
        UserError: a part has no graph, or the packages that write ONNX are missing.
    """
    import torch

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise UserError(f"format=onnx needs {names}: pip install 'gad-bench[export]'")
    graph = graph_of(detector)
    _require_one_file(graph)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (_blank(detector, batch=2),),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(graph.outputs),
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

    graph = graph_of(detector)
    blank = _blank(detector, batch=1)
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(graph, blank, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, input=list(blank.shape))
    model.inputs[0].get_tensor().set_names({INPUT})
    for port, name in zip(model.outputs, graph.outputs, strict=True):
        port.get_tensor().set_names({name})
    for key, value in _facts(detector).items():
        model.set_rt_info(value, ["gad_bench", key])
    with whole_file(output.with_suffix(".bin")) as weights, whole_file(output) as file:
        openvino.save_model(model, str(file), compress_to_fp16=False)
        file.with_suffix(".bin").replace(weights)


def graph_of(detector: SavedDetector) -> Graph:
    """Return the detector as a module, in evaluation mode.

    Raises:
        UserError: a part has no graph.
    """
    from gad_bench.deploy.patch_graph import PatchGraph
    from gad_bench.steps.graph import DetectorGraph

    scorer = detector.scorer
    graph: Graph
    if isinstance(scorer.model, FittedPatchDetector):
        graph = PatchGraph(scorer.model, scorer.backbone, scorer.precision)
    else:
        graph = DetectorGraph(scorer.model, scorer.backbone)
    graph.eval()
    return graph


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
    expected, found = _expected(detector, pixels), run_graph(output, pixels)
    difference = max(_difference(found[name], values) for name, values in expected.items())
    if not difference <= tolerance:
        raise UserError(
            f"{output} scores otherwise, by {difference:.1e} relative: what runtimes round in "
            "float32 weighs so much where a variance is so small; shrink the covariance, keep "
            f"fewer components, or accept it with tolerance={difference:.0e}"
        )
    return difference, len(pixels)


def run_graph(file: Path, pixels: Pixels) -> dict[str, NDArray[Any]]:
    """Run a graph on images uint8 [images, H, W, 3]; return its outputs [images, ...] by name.

    ONNX by ONNX Runtime where it is installed, else by OpenVINO.
    """
    if file.suffix == ".onnx" and find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {INPUT: pixels}), strict=True))
    import openvino

    core = openvino.Core()
    read = core.read_model(file)
    names = [port.any_name for port in read.outputs]
    model = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = [[*model(pixels[row : row + 1]).values()] for row in range(len(pixels))]
    return {name: np.concatenate(own) for name, *own in zip(names, *found, strict=True)}


def _expected(detector: SavedDetector, pixels: Pixels) -> dict[str, NDArray[Any]]:
    """Return what the detector itself says, as the graph's outputs."""
    of_patches = isinstance(detector.scorer.model, FittedPatchDetector)
    said = detector.predict(list(pixels), heat_maps=of_patches)
    if said.heat_maps is None:
        return {"score": said.scores, "blocks": np.column_stack(list(said.blocks.values()))}
    return {"score": said.scores, "heat_map": np.stack(list(said.heat_maps))}


def _difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest difference, relative to the score or to the map's highest value."""
    scale = np.abs(expected)
    if expected.ndim == 3:
        scale = scale.max(axis=(1, 2), keepdims=True)
    return float(np.max(np.abs(found - expected) / scale))


def _pixels(detector: SavedDetector, images: str | None) -> Pixels:
    size = detector.scorer.backbone.image_size()
    if images is None:
        shape = (NOISE_IMAGES, *height_and_width(size), 3)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return np.stack([read_input(path, size) for path in find_images(images)])


def _require_one_file(graph: Graph) -> None:
    """Refuse what exceeds ONNX's largest file.

    Raises:
        UserError: says what holds more.
    """
    size = sum(one.nbytes for one in (*graph.parameters(), *graph.buffers()))
    if size >= LARGEST_ONNX:
        raise UserError(
            f"the detector holds {size / 2**30:.2g} GiB, and one ONNX file at most 2: use "
            "format=openvino, or fit fewer dimensions or a smaller share of the patches"
        )


def _facts(detector: SavedDetector) -> dict[str, str]:
    """Return what the graph's user wants to know, as text."""
    rule, model = detector.scorer.rule, detector.scorer.model
    blocks = model.blocks if isinstance(model, FittedModel) else model.embedding.blocks
    facts = {key: detector.about[key] for key in ("key", "dataset", "category", "backbone")}
    return facts | {
        "blocks": ",".join(map(str, blocks)),
        "threshold": "" if rule.threshold is None else repr(rule.threshold),
        "input": "uint8 RGB, resized straight to the input by OpenCV's bilinear",
    }


def _blank(detector: SavedDetector, batch: int) -> Tensor:
    import torch

    size = detector.scorer.backbone.image_size()
    return torch.zeros((batch, *height_and_width(size), 3), dtype=torch.uint8)


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
