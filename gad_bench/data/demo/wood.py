"""A planed board: growth rings cut lengthwise, fibres and pores."""

from __future__ import annotations

import numpy as np
from numpy.random import RandomState

from gad_bench.data.demo.scene import (
    COLUMNS,
    SIDE,
    Field,
    Scene,
    colour,
    mix,
    smooth_noise,
    step,
)

EARLY, LATE = colour(0.80, 0.60, 0.39), colour(0.58, 0.37, 0.20)
RING = 26.0  # pixels from one ring to the next


def paint(rng: RandomState) -> Scene:
    """Draw a board whose grain runs from top to bottom."""
    fibres = smooth_noise(rng, 40, 1.2)
    rings = _rings(rng) + 0.03 * fibres
    darkness = np.clip(rings - np.floor(rings), 0, 1) ** 2.2
    late = 0.85 * darkness * step(1 - (rings - np.floor(rings)), 0.16)
    board = mix(np.broadcast_to(EARLY, (SIDE, SIDE, 3)), LATE, late)
    pores = step(smooth_noise(rng, 9, 1.2) - 2.0, 0.8)
    tone = 1 + 0.035 * fibres + 0.03 * smooth_noise(rng, 120, 30) - 0.30 * pores
    return Scene.of_material((board * tone[..., None] * rng.normal(1, 0.02)).astype(np.float32))


def _rings(rng: RandomState) -> Field:
    """Return the number of the growth ring at each pixel, and its fraction."""
    swing = 1.1 * smooth_noise(rng, 260, 90) + 0.07 * smooth_noise(rng, 50, 14)
    spread = rng.uniform(0.85, 1.15) * (1 + 0.2 * smooth_noise(rng, 400, 120))
    return COLUMNS / RING * spread + swing + rng.uniform(0, 9)
