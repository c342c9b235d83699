"""A saved detector as a model that can be served: what the tracking store asks of it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from gad_bench.deploy.detector import SavedDetector
from gad_bench.deploy.format import weights_beside
from gad_bench.tracking import ServedModel

NAME = "detector"
IMAGE = "image"
EXAMPLE_SIDE = 64  # pixels
CODE = Path(__file__).with_name("served_code.py")


@contextlib.contextmanager
def served_model(folder: Path) -> Iterator[ServedModel]:
    """Give a saved detector as a model: its code as a file, no pickle, and what it reads.

    Args:
        folder: the detector's; what is served is a copy that holds the backbone's weights, and that
            is gone when the block ends.
    """
    with tempfile.TemporaryDirectory() as place:
        staged = Path(place) / NAME
        shutil.copytree(folder, staged)
        detector = SavedDetector.load(folder)
        _copy_weights(detector, staged)
        yield ServedModel(
            name=NAME,
            code=CODE,
            folder=staged,
            inputs={IMAGE: "binary"},
            outputs=_outputs(detector),
            example=_example(),
            requirements=[f"gad-bench=={version('gad_bench')}"],
            about=detector.about,
        )


def _outputs(detector: SavedDetector) -> dict[str, str]:
    """Return the types of the columns that come out, a row an image."""
    rule = detector.scorer.rule
    columns = {f"block_{block}": "double" for block in detector.scorer.blocks}
    columns["score"] = "double"
    if rule.calibration is not None:
        columns["p_value"] = "double"
    if rule.threshold is not None:
        columns["anomalous"] = "long"
    return columns


def _copy_weights(detector: SavedDetector, staged: Path) -> None:
    find = getattr(detector.scorer.backbone, "weights_file", None)
    file: Path | None = find() if find else None
    if file is not None and weights_beside(staged) is None:
        shutil.copyfile(file, staged / f"weights{file.suffix}")


def _example() -> pd.DataFrame:
    """Return a row of what goes in: an image file's bytes."""
    grey = np.full((EXAMPLE_SIDE, EXAMPLE_SIDE, 3), 128, np.uint8)
    return pd.DataFrame({IMAGE: [cv2.imencode(".png", grey)[1].tobytes()]})
