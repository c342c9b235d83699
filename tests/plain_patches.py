"""The plain way to patch scores: all vectors in memory in float64, every distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate

from gad_bench.patches import BatchedMaps, Maps
from gad_bench.patches.image_score import Maximum

Array = NDArray[np.float64]

NEIGHBOURHOOD = 3


def embedded(
    maps: Maps, blocks: Sequence[int], neighbourhood: int = 1, mode: str = "bilinear"
) -> Array:
    """Averaged over neighbourhoods, brought to the first block's grid, joined [n, h, w, dim]."""
    tensors = [torch.from_numpy(np.asarray(maps[block], np.float64)) for block in blocks]
    pooled = [avg_pool2d(own, neighbourhood, 1, neighbourhood // 2) for own in tensors]
    grid = pooled[0].shape[2:]
    joined = torch.cat([interpolate(own, grid, mode=mode) for own in pooled], dim=1)
    return joined.permute(0, 2, 3, 1).numpy()


def distances(queries: Array, entries: Array) -> Array:
    """Every distance from every entry [..., entries]."""
    flat = queries.reshape(-1, queries.shape[-1])
    found = [np.sqrt(((entries - query) ** 2).sum(axis=1)) for query in flat]
    return np.array(found).reshape(*queries.shape[:-1], len(entries))


def plain_greedy(points: Array, count: int, start: int) -> list[int]:
    chosen = [start]
    nearest = ((points - points[start]) ** 2).sum(axis=1)
    while len(chosen) < count and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def flat(patches: Array) -> Array:
    return patches.reshape(-1, patches.shape[-1])


def settings(blocks: list[int] | None = None, **others: Any) -> dict[str, Any]:
    """What all patch detectors are told, unless it is what a test is about."""
    from gad_bench.gaussian.normalisation import NoNormalisation

    return {
        "blocks": blocks,
        "neighbourhood": 1,
        "grid": None,
        "averaged": False,
        "normalisation": NoNormalisation(),
        "image_score": Maximum(smoothing=0.0),
        "memory_limit": 1.0,
        **others,
    }


def random_maps(images: int = 6, *, scale: float = 1.0, seed: int = 0) -> Maps:
    """Blocks 1 and 2: 3 channels on a grid of 4 x 6, 5 on one of 2 x 3."""
    generator = np.random.default_rng(seed)
    shapes = {1: (images, 3, 4, 6), 2: (images, 5, 2, 3)}
    return {
        block: (scale * generator.standard_normal(shape)).astype(np.float32)
        for block, shape in shapes.items()
    }


def batched(maps: Maps, batch_size: int = 4) -> BatchedMaps:
    return BatchedMaps(maps=maps, batch_size=batch_size)
