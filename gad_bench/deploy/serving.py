"""A saved detector as a model that can be served: what the tracking store asks of it."""

from __future__ import annotations

import base64
import binascii
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from gad_bench.base.errors import UserError
from gad_bench.data.image_head import head_size
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
    if rule.method is not None:
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


def score_request(detector: SavedDetector, request: Any) -> pd.DataFrame:  # noqa: ANN401
    """Score the images of a request; see `Predictions.table`.

    A request holds the bytes of image files and never the name of one: nothing that a client sends
    opens a file.

    Args:
        detector: that scores.
        request: a row per image, in the column "image" its file's bytes, or these as base64.

    Raises:
        UserError: the request holds something else.
    """
    images = [_image(number, value) for number, value in enumerate(_column(request))]
    return detector.predict(images, heat_maps=False).table().drop(columns="path")


def _column(request: Any) -> list[Any]:  # noqa: ANN401 - whatever the client sent
    if IMAGE not in getattr(request, "columns", ()):
        raise UserError(f'the request has no column "{IMAGE}"')
    return list(request[IMAGE])


def _image(number: int, value: Any) -> bytes:  # noqa: ANN401 - whatever the client sent
    """Return an image file's content.

    MLflow decodes base64 in `dataframe_split` and `dataframe_records`, but not elsewhere.
    """
    content = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if isinstance(content, bytes) and head_size(content) is None:
        content = _decoded(content)
    if not isinstance(content, bytes) or head_size(content) is None:
        raise UserError(
            f"image {number} is no image: send the bytes of a PNG, JPEG, BMP, TIFF or WebP file, "
            "in JSON as base64"
        )
    return content


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return None
