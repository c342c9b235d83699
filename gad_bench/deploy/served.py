"""A saved detector as an MLflow model, logged to the run that fitted it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gad_bench.deploy.detector import Detector
from gad_bench.deploy.folder import weights_beside
from gad_bench.deploy.http import IMAGE

NAME = "detector"
EXAMPLE_SIDE = 64  # pixels
CODE = Path(__file__).with_name("served_code.py")


def log_detector(folder: Path, uri: str, run_id: str) -> None:
    """Log a saved detector, with its backbone's weights, as the model "detector" of a run.

    Args:
        folder: the detector's.
        uri: of the tracking store.
        run_id: of the run.
    """
    import mlflow

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(uri)
    with tempfile.TemporaryDirectory() as staged, mlflow.start_run(run_id=run_id):
        mlflow.pyfunc.log_model(name=NAME, **model_arguments(folder, Path(staged) / NAME))


def save_model(folder: Path, target: Path) -> None:
    """Write a saved detector as an MLflow model to a new folder."""
    import mlflow

    with tempfile.TemporaryDirectory() as staged:
        mlflow.pyfunc.save_model(target, **model_arguments(folder, Path(staged) / NAME))


def model_arguments(folder: Path, staged: Path) -> Mapping[str, Any]:
    """Return what MLflow asks of a model: its code as a file, no pickle, and what it reads.

    Args:
        folder: the detector's.
        staged: a path for a copy of it that holds the backbone's weights.
    """
    shutil.copytree(folder, staged)
    detector = Detector.load(folder)
    _copy_weights(detector, staged)
    return {
        "python_model": str(CODE),
        "artifacts": {NAME: str(staged)},
        "signature": signature(detector),
        "input_example": _example(),
        "pip_requirements": [f"gad-bench=={version('gad_bench')}"],
        "metadata": dict(detector.about),
    }


def signature(detector: Detector) -> Any:  # noqa: ANN401 - MLflow's
    """Return the types of what goes in, an image file's bytes a row, and of what comes out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    rule = detector.scorer.rule
    outputs: list[Any] = [
        ColSpec("double", f"block_{block}") for block in detector.scorer.model.blocks
    ]
    outputs.append(ColSpec("double", "score"))
    if rule.calibration is not None:
        outputs.append(ColSpec("double", "p_value"))
    if rule.threshold is not None:
        outputs.append(ColSpec("long", "anomalous"))
    return ModelSignature(Schema([ColSpec("binary", IMAGE)]), Schema(outputs))


def _copy_weights(detector: Detector, staged: Path) -> None:
    find = getattr(detector.scorer.backbone, "weights_file", None)
    file: Path | None = find() if find else None
    if file is not None and weights_beside(staged) is None:
        shutil.copyfile(file, staged / f"weights{file.suffix}")


def _example() -> Any:  # noqa: ANN401 - a table
    import cv2
    import numpy as np
    import pandas as pd

    grey = np.full((EXAMPLE_SIDE, EXAMPLE_SIDE, 3), 128, np.uint8)
    return pd.DataFrame({IMAGE: [cv2.imencode(".png", grey)[1].tobytes()]})
