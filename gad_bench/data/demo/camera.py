"""From a scene to a photograph: uneven light, exposure, the lens' blur, the sensor's noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from gad_bench.data.demo.noise import COLUMNS, ROWS, SIDE, Field

LENS_BLUR = 0.6  # standard deviation in pixels
SHOT_NOISE, READ_NOISE = 0.012, 0.006  # standard deviations at full scale, and in the dark


def expose(rng: RandomState, scene: Field) -> Field:
    """Return what falls on the sensor, before its noise."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.09)
    across = (np.cos(angle) * (COLUMNS / SIDE - 0.5) + np.sin(angle) * (ROWS / SIDE - 0.5)) * 2
    corners = np.hypot(ROWS / SIDE - 0.5, COLUMNS / SIDE - 0.5) ** 2
    light = rng.uniform(0.95, 1.05) * (1 + strength * across) * (1 - 0.16 * corners)
    white_balance = rng.normal(1, 0.008, 3)
    lit = scene * light[..., None].astype(np.float32) * white_balance.astype(np.float32)
    return cv2.GaussianBlur(lit, (0, 0), LENS_BLUR)


def develop(rng: RandomState, exposed: Field) -> NDArray[np.uint8]:
    """Return the photograph: every pixel with its own noise, in 8 bits."""
    deviation = np.sqrt(SHOT_NOISE**2 * np.clip(exposed, 0, 1) + READ_NOISE**2)
    noisy = exposed + deviation * rng.standard_normal(exposed.shape).astype(np.float32)
    return np.clip(np.rint(noisy * 255), 0, 255).astype(np.uint8)
