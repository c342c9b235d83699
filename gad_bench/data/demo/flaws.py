"""Defects, drawn over a flawless scene. Each varies in place, size and strength.

At their weakest some are hardly to be seen, as in a real inspection.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from gad_bench.data.demo.scene import (
    COLUMNS,
    ROWS,
    SIDE,
    Field,
    Flaw,
    Scene,
    blob,
    cloud,
    colour,
    mix,
    smooth_noise,
    step,
)

SUBPIXEL_BITS = 4  # of the coordinates that OpenCV draws lines with


def stain(tint: Field, strength: tuple[float, float], radius: tuple[float, float]) -> Flaw:
    """Return a dried spill: it takes the tint's complement out of the light, most at its rim."""

    def draw(rng: RandomState, scene: Scene) -> Field:
        depth = blob(rng, *scene.place(rng), rng.uniform(*radius), 0.3)
        rim = np.exp(-((depth - 2) ** 2) / 6)
        share = rng.uniform(*strength) * step(depth, 5) * (0.7 + 0.3 * rim)
        return scene.image * (1 - share[..., None] * (1 - tint))

    return draw


def scratch(contrast: tuple[float, float], length: tuple[float, float]) -> Flaw:
    """Return a scratch: one flank catches the light, the other lies in shadow."""

    def draw(rng: RandomState, scene: Scene) -> Field:
        line = _curve(rng, scene.place(rng), rng.uniform(*length), bend=0.03)
        width = rng.choice([1, 2])
        lit, shaded = _stroke(line, width), _stroke(line + 1.2, width)
        relief = rng.uniform(*contrast) * (lit - 0.8 * shaded)
        return scene.image * (1 + relief[..., None])

    return draw


def crack(length: tuple[float, float], darkness: tuple[float, float]) -> Flaw:
    """Return a split along the grain, which runs from top to bottom."""

    def draw(rng: RandomState, scene: Scene) -> Field:
        line = _curve(
            rng,
            scene.place(rng),
            rng.uniform(*length),
            bend=0.10,
            heading=np.pi / 2,
            straighten=0.2,
        )
        gap = np.maximum(
            _stroke(line, 1), 0.8 * _stroke(line[len(line) // 4 : -(len(line) // 4)], 2)
        )
        return scene.image * (1 - rng.uniform(*darkness) * gap[..., None])

    return draw


def hole(radius: tuple[float, float], rim: float) -> Flaw:
    """Return a hole, dark inside; its far rim catches the light."""

    def draw(rng: RandomState, scene: Scene) -> Field:
        size = rng.uniform(*radius)
        depth = blob(rng, *scene.place(rng), size, 0.12)
        lit = (
            rim
            * np.exp(-((depth + 1) ** 2) / 2)
            * ((ROWS + COLUMNS)[depth > 0].mean() < ROWS + COLUMNS)
        )
        within = np.clip(1 - 0.05 * depth, 0.2, 1)[..., None]
        return mix(scene.image * (1 + lit[..., None]), scene.background * within, step(depth, 1.5))

    return draw


def strand(dyes: list[Field], length: tuple[float, float]) -> Flaw:
    """Return a loose strand that lies on the surface and throws a shadow."""

    def draw(rng: RandomState, scene: Scene) -> Field:
        line = _curve(rng, scene.place(rng), rng.uniform(*length), bend=0.16)
        width = rng.choice([2, 3])
        shadow = cv2.GaussianBlur(_stroke(line + 2, width + 1), (0, 0), 1.2)
        body = cv2.GaussianBlur(_stroke(line, width), (0, 0), 0.5)
        light = 0.75 + 0.15 * smooth_noise(rng, 2, 2)
        dye = dyes[rng.randint(len(dyes))] * light[..., None]
        return mix(scene.image * (1 - 0.45 * shadow[..., None]), dye, body)

    return draw


def pulled(reach: tuple[float, float], shift: tuple[float, float]) -> Flaw:
    """Return a place where the pattern is pulled aside."""

    def draw(rng: RandomState, scene: Scene) -> Field:
        row, column = scene.place(rng)
        angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(*reach)
        pull = rng.uniform(*shift) * np.exp(
            -((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / (2 * size**2)
        )
        map_columns = (COLUMNS + np.cos(angle) * pull).astype(np.float32)
        map_rows = (ROWS + np.sin(angle) * pull).astype(np.float32)
        return cv2.remap(
            scene.image, map_columns, map_rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )

    return draw


def missing_yarn(pitch: float, length: tuple[float, float], darkness: tuple[float, float]) -> Flaw:
    """Return a gap where a yarn that runs from top to bottom is missing for some way."""

    def draw(rng: RandomState, scene: Scene) -> Field:
        row, column = scene.place(rng)
        half = rng.uniform(*length) / 2
        sway = column + 0.5 * smooth_noise(rng, 30, SIDE)
        gap = step(0.5 * pitch - np.abs(COLUMNS - sway), 3) * step(half - np.abs(ROWS - row), 6)
        return scene.image * (1 - rng.uniform(*darkness) * gap[..., None])

    return draw


def chip(radius: tuple[float, float]) -> Flaw:
    """Return a piece broken out of the outline."""

    def draw(rng: RandomState, scene: Scene) -> Field:
        depth = blob(rng, *scene.outline_place(rng), rng.uniform(*radius), 0.25)
        fresh = 0.16 * np.exp(-((depth + 1.5) ** 2) / 4)
        return mix(scene.image * (1 + fresh[..., None]), scene.background, step(depth, 1.5))

    return draw


def rust(strength: tuple[float, float], radius: tuple[float, float]) -> Flaw:
    """Return a patch of rust: specks, dense in the middle."""
    brown = colour(0.46, 0.24, 0.11)

    def draw(rng: RandomState, scene: Scene) -> Field:
        depth = blob(rng, *scene.place(rng), rng.uniform(*radius), 0.4)
        density = np.clip(depth / 8, -1, 1)
        specks = step(density + 0.5 * cloud(rng, 5, 2) - 0.2, 0.5) * step(depth + 3, 4)
        share = specks * rng.uniform(*strength) * (scene.image.mean(axis=2) > 0.2)
        return mix(scene.image, brown * (1 + 0.2 * cloud(rng, 4, 2))[..., None], share)

    return draw


def _curve(
    rng: RandomState,
    place: tuple[int, int],
    length: float,
    *,
    bend: float,
    heading: float | None = None,
    straighten: float = 0.0,
) -> NDArray[np.float64]:
    """Return a wandering line through a place, as [points, (column, row)], a point a pixel."""
    start = rng.uniform(0, 2 * np.pi) if heading is None else heading
    points = max(int(length), 8)
    turns = np.empty(points)
    angle = 0.0
    for number, change in enumerate(rng.normal(0, bend, points)):
        angle = (1 - straighten) * angle + change
        turns[number] = start + angle
    line = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0)
    return line - line[points // 2] + np.array(place[::-1])


def _stroke(line: NDArray[np.float64], width: int) -> Field:
    """Return a line drawn smoothly, 1 on it and 0 elsewhere."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    points = np.rint(line * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.polylines(canvas, [points], False, 255, int(width), cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas.astype(np.float32) / 255
