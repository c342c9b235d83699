"""A twill of indigo and undyed cotton."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from gad_bench.data.demo.scene import (
    COLUMNS,
    ROWS,
    SIDE,
    Field,
    Scene,
    cloud,
    colour,
    mix,
    smooth_noise,
)

PITCH = 8.0  # pixels from one yarn to the next
INDIGO, COTTON = colour(0.19, 0.27, 0.45), colour(0.80, 0.76, 0.68)


def paint(rng: RandomState) -> Scene:
    """Draw a piece of cloth: each yarn passes over two others, then under two."""
    across = _along(rng, COLUMNS)
    down = _along(rng, ROWS)
    warp, weft = np.floor(across).astype(int), np.floor(down).astype(int)
    warp_is_above = (warp + weft) % 4 < 2
    warp_yarn = _yarn(rng, across, down, warp, INDIGO)
    weft_yarn = _yarn(rng, down, across, weft, COTTON, transposed=True)
    image = mix(weft_yarn, warp_yarn, warp_is_above.astype(np.float32))
    return Scene.of_material(image * (1 + 0.025 * cloud(rng, 90))[..., None])


def _along(rng: RandomState, position: Field) -> Field:
    """Return the position in yarns: not quite straight, and from anywhere on the roll."""
    return position / PITCH + 0.10 * smooth_noise(rng, 60, 60) + rng.uniform(0, 4)


def _yarn(
    rng: RandomState,
    across: Field,
    along: Field,
    number: NDArray[Any],
    dye: Field,
    *,
    transposed: bool = False,
) -> Field:
    position = across - number - 0.5
    bend = np.cos(np.pi * (along + number) / 2 - 0.75 * np.pi)
    roundness = np.sqrt(np.clip(1 - (1.75 * position) ** 2, 0, 1))
    twist = np.sin(2 * np.pi * (1.5 * along + 1.2 * position))
    fibres = smooth_noise(rng, 1.5, 5) if transposed else smooth_noise(rng, 5, 1.5)
    tone = rng.normal(1, 0.05, SIDE)[number % SIDE]
    light = (0.30 + 0.58 * roundness + 0.06 * bend + 0.05 * twist + 0.05 * fibres) * tone
    return (dye * light[..., None]).astype(np.float32)
