"""Overlap with defects of which a part is enough: sPRO, of MVTec LOCO AD."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.evaluation.pixels import Map, Mask, by_name, rank


@dataclass(frozen=True)
class Defect:
    """Where an anomaly may be found.

    Attributes:
        mask: all of its pixels [height, width], connected or not; it may overlap another one's.
        saturation: how many of them are enough, more than 0; no more than all are asked for.
    """

    mask: Mask
    saturation: float


def saturated_overlap(
    images: Iterable[tuple[Map, Sequence[Defect]]], limits: Sequence[float]
) -> dict[str, float]:
    """Return the areas under the saturated per-region overlap; nothing where there is no defect.

    A defect's overlap is the number of its pixels that reach the threshold by its saturation, at
    most 1. Their mean over the defects is a curve over the false positive rate of the pixels
    outside all defects; the area under it up to a limit is divided by the limit. At 0.3 it is
    called spro, at another limit, as 0.05, spro_0.05. It is exact: of a defect's pixels, the k-th
    highest adds the k-th part of the saturation.

    Source: Bergmann, Batzner, Fauser, Sattlegger and Steger 2022, "Beyond dents and scratches:
    logical constraints in unsupervised anomaly detection and localization", section 4.

    Args:
        images: each image's heat map [height, width], higher is more anomalous, and its defects,
            none for a good image. Iterated over twice.
        limits: of the false positive rate, each in (0, 1].

    Raises:
        UserError: a limit or a saturation is none.
    """
    named = by_name("spro", limits)
    steps = [_steps(heat, own) for heat, defects in images for own in defects if own.mask.any()]
    if not steps:
        return {}
    values, inverse = np.unique(np.concatenate([own for own, _ in steps]), return_inverse=True)
    shares = np.concatenate([share for _, share in steps])
    overlap = np.bincount(inverse, shares, minlength=len(values)) / len(steps)
    ranks = rank(_with_union(images), values)
    if ranks.total == 0:
        return {}
    return {name: float(ranks.limited_area(overlap, limit)) for name, limit in named.items()}


def _steps(heat: Map, defect: Defect) -> tuple[Map, NDArray[np.float64]]:
    """Return a defect's values, falling, and what each adds to its overlap."""
    if not defect.saturation > 0:
        raise UserError(f"a defect's saturation must be more than 0, not {defect.saturation}")
    values = np.sort(heat[defect.mask])[::-1]
    reached = np.arange(len(values) + 1) / min(defect.saturation, len(values))
    return values, np.diff(np.minimum(reached, 1))


def _with_union(images: Iterable[tuple[Map, Sequence[Defect]]]) -> Iterator[tuple[Map, Mask]]:
    for heat, defects in images:
        union = np.zeros(heat.shape, np.bool_)
        for own in defects:
            union |= own.mask
        yield heat, union
