"""A saved detector as one graph for other runtimes: `python -m gad_bench.export`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gad_bench.base.command import DONE, names, option, run_command
from gad_bench.base.errors import UserError

if TYPE_CHECKING:
    from gad_bench.deploy.detector import SavedDetector

USAGE = """
Export a saved detector as one graph, from pixels to scores, and check that it scores the same.

  python -m gad_bench.export detector=DIR format=onnx
  python -m gad_bench.export detector=DIR format=openvino output=detector.xml images='test/*.png'

Input "image": uint8 [batch, H, W, 3], RGB, resized straight to the input by OpenCV's bilinear.
Outputs "score" [batch] and "blocks" [batch, blocks], float64 in ONNX and float32 in OpenVINO; of a
detector on patches "score" and "heat_map" [batch, H, W] float32, enlarged and smoothed.
"""
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What is to be exported."""

    detector: str = option("the folder that a run's save= wrote")
    format: str = option("onnx or openvino")
    output: str | None = option("the file (detector.onnx or detector.xml)", None)
    images: str | None = option("images to check the scores on; noise without", None)
    tolerance: float = option("the largest relative difference of a score or map", 1e-4)
    weights: str | None = option("the backbone's checkpoint, where it is not where it was", None)
    trust: str | None = option("modules of your own that it may name, with commas", None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command and return the exit status."""
    chosen = sys.argv[1:] if arguments is None else arguments
    return run_command(ExportRequest, export, USAGE, chosen)


def export(request: ExportRequest) -> int:
    """Write the graph and check it.

    Raises:
        UserError: the detector cannot be exported, or the graph scores otherwise.
    """
    if request.format not in SUFFIXES:
        raise UserError(f"format={request.format} is unknown: choose {' or '.join(SUFFIXES)}")
    output = Path(request.output or f"detector{SUFFIXES[request.format]}").expanduser()
    if output.suffix != SUFFIXES[request.format]:
        raise UserError(f"output={output} must end in {SUFFIXES[request.format]}")
    detector = _load(request)

    from gad_bench.deploy import exporting

    writers: dict[str, Callable[[SavedDetector, Path], None]] = {
        "onnx": exporting.write_onnx,
        "openvino": exporting.write_openvino,
    }
    writers[request.format](detector, output)
    difference, images = exporting.check(detector, output, request.images, request.tolerance)
    print(f"{output}: scores of {images} images differ by {difference:.1e} at most, relative")
    if detector.scorer.rule.threshold is None:
        print(f"it scores and does not decide; the rule: {detector.scorer.rule.told}")
    return DONE


def _load(request: ExportRequest) -> SavedDetector:
    from gad_bench.deploy.detector import SavedDetector

    return SavedDetector.load(request.detector, weights=request.weights, trust=names(request.trust))


if __name__ == "__main__":
    sys.exit(main())
