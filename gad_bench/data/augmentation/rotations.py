"""Training images turned about their middle: what few of them lack of orientations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.data.augmentation.interface import Pixels
from gad_bench.data.catalog import CategoryFacts


@dataclass(frozen=True, kw_only=True)
class Rotations:
    """A pass an angle; nothing is drawn at random, and no category's limits are heeded.

    What a turn brings in from outside is the image mirrored at its edges.

    Source: Damm et al. 2025, "AnomalyDINO: boosting patch-based few-shot anomaly detection with
    DINOv2", section 3: the few shots rotated.

    Attributes:
        angles: in degrees, anticlockwise, different ones; 0 for the image as it is.
    """

    angles: list[float]

    def __post_init__(self) -> None:
        if not self.angles or len({angle % 360 for angle in self.angles}) < len(self.angles):
            raise UserError(
                f"augmentation.angles must be different turns in degrees, not {self.angles}"
            )

    @property
    def passes(self) -> int:
        """The number of angles."""
        return len(self.angles)

    def facts(self, category: CategoryFacts) -> dict[str, Any]:  # noqa: ARG002
        """Return the angles."""
        return {"angles": [float(angle) for angle in self.angles]}

    def augment(self, image: Pixels, digest: str, number: int, category: CategoryFacts) -> Pixels:  # noqa: ARG002
        """Return the image turned by the pass's angle; see `Augmentation.augment`."""
        height, width = image.shape[:2]
        middle = ((width - 1) / 2, (height - 1) / 2)
        turn = cv2.getRotationMatrix2D(middle, self.angles[number], 1.0)
        border = cv2.BORDER_REFLECT_101
        return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=border), np.uint8)
