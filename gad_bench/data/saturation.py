"""Defects of which a part is enough: MVTec LOCO AD's masks, and how much of each is.

A data set that knows says so beside its masks (Bergmann and others 2022):

    <category>/defects_config.json
    <category>/ground_truth/<defect>/<stem>/*.png

Each mask of an image is one defect. The value of its pixels is an entry's `pixel_value` in the
JSON's list, whose `saturation_threshold` is a number of pixels or, where `relative_saturation` is
true, a share of the defect's own. A public converter of the data set (to Supervisely's format)
reads these keys of these files; the files themselves were not to be had.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.data.images import mask_files, read_bytes, read_mask

CONFIG = "defects_config.json"


class SaturatedMask(NamedTuple):
    """A defect's pixels [height, width], and how many of them are enough."""

    mask: NDArray[np.bool_]
    saturation: float


def knows_saturations(mask: str) -> bool:
    """Tell whether it is known of an image's masks how much of each is enough."""
    return Path(mask).is_dir() and _config(mask).is_file()


def saturated_masks(mask: str, shape: tuple[int, int]) -> list[SaturatedMask]:
    """Return an image's defects.

    Args:
        mask: the folder of its masks.
        shape: height and width of the image.

    Raises:
        UserError: a file cannot be read, is of another size, or names a defect that the JSON lacks.
    """
    entries = _read_config(_config(mask))
    return [_saturated(file, shape, entries) for file in mask_files(mask)]


def _saturated(file: Path, shape: tuple[int, int], entries: Mapping[int, Any]) -> SaturatedMask:
    pixels = read_mask(file, shape)
    values = cv2.imdecode(np.frombuffer(read_bytes(file), np.uint8), cv2.IMREAD_GRAYSCALE)
    value = int(np.asarray(values).max())
    if value not in entries:
        raise UserError(f"{file}: no entry of {CONFIG} has the pixel_value {value}")
    threshold, is_relative = entries[value]
    return SaturatedMask(pixels, threshold * (pixels.sum() if is_relative else 1))


def _config(mask: str) -> Path:
    return Path(mask).parents[2] / CONFIG


@lru_cache(maxsize=16)
def _read_config(path: Path) -> dict[int, tuple[float, bool]]:
    try:
        return {
            int(entry["pixel_value"]): (
                float(entry["saturation_threshold"]),
                bool(entry["relative_saturation"]),
            )
            for entry in json.loads(read_bytes(path))
        }
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged: it is to be a list of entries with pixel_value, "
            "saturation_threshold and relative_saturation; take it from the data set's archive"
        ) from error
