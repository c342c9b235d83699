"""Overlap with defects of which a part is enough: sPRO, of MVTec LOCO AD."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.evaluation.intervals import RESAMPLES, resamples
from gad_bench.evaluation.metrics import Vector
from gad_bench.evaluation.pixel_intervals import Beside, bins_of, count_out, joined
from gad_bench.evaluation.pixels import Defective, Map, Mask, Ranks, by_name, rank


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
    ranked = _rank_saturated(images)
    return _areas(*ranked, named) if ranked else {}


def resampled_saturated_overlap(
    images: Iterable[tuple[Map, Sequence[Defect]]],
    limits: Sequence[float],
    *,
    seed: int,
    count: int = RESAMPLES,
) -> tuple[dict[str, float], dict[str, Vector]]:
    """Return `saturated_overlap`, and its areas over resamples of the images [count].

    Args:
        images: as there; iterated over three times.
        limits: as there.
        seed: of the resamples.
        count: of the resamples.

    Raises:
        UserError: as there.
    """
    named = by_name("spro", limits)
    ranked = _rank_saturated(images)
    if ranked is None:
        return {}, {}
    ranks, defective = ranked
    counted = count_out(map(_beside_defects, images), *bins_of(defective, ranks))
    if counted.anomalous.all():
        return _areas(ranks, defective, named), {}
    drawn = resamples(counted.anomalous, seed=seed, count=count)
    over = joined(counted.limited_areas(weights, named) for weights in drawn)
    return _areas(ranks, defective, named), over


def _rank_saturated(
    images: Iterable[tuple[Map, Sequence[Defect]]],
) -> tuple[Ranks, Defective] | None:
    """Return where the defects' values lie, and their pixels, one as often as it has a defect."""
    steps = [_steps(heat, own) for heat, defects in images for own in defects if own.mask.any()]
    if not steps:
        return None
    values, inverse, counts = np.unique(
        np.concatenate([own for own, _ in steps]), return_inverse=True, return_counts=True
    )
    shares = np.concatenate([share for _, share in steps])
    overlap = np.bincount(inverse, shares, minlength=len(values)) / len(steps)
    ranks = rank(((heat, _union(heat, defects)) for heat, defects in images), values)
    return (ranks, Defective(values, counts, overlap)) if ranks.total else None


def _areas(ranks: Ranks, defective: Defective, named: dict[str, float]) -> dict[str, float]:
    return {n: float(ranks.limited_area(defective.overlap, limit)) for n, limit in named.items()}


def _steps(heat: Map, defect: Defect) -> tuple[Map, NDArray[np.float64]]:
    """Return a defect's values, falling, and what each adds to its overlap."""
    if not defect.saturation > 0:
        raise UserError(f"a defect's saturation must be more than 0, not {defect.saturation}")
    values = np.sort(heat[defect.mask])[::-1]
    reached = np.arange(len(values) + 1) / min(defect.saturation, len(values))
    return values, np.diff(np.minimum(reached, 1))


def _union(heat: Map, defects: Sequence[Defect]) -> Mask:
    union = np.zeros(heat.shape, np.bool_)
    for own in defects:
        union |= own.mask
    return union


def _beside_defects(image: tuple[Map, Sequence[Defect]]) -> Beside:
    heat, defects = image
    steps = [_steps(heat, own) for own in defects if own.mask.any()]
    return Beside(
        others=heat[~_union(heat, defects)],
        values=np.concatenate([np.empty(0, np.float32), *(values for values, _ in steps)]),
        shares=np.concatenate([np.empty(0), *(shares for _, shares in steps)]),
        defects=len(steps),
    )
