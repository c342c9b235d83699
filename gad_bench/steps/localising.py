"""From a run's images to heat maps and what they are worth."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gad_bench.data.split import Split
from gad_bench.evaluation.definitions import SOUND, Definitions
from gad_bench.evaluation.intervals import resampled_auroc, with_intervals
from gad_bench.evaluation.metrics import auroc
from gad_bench.features.local import Image, LocalSource
from gad_bench.patches.heat_maps import FittedLocalisation, HeatMaps, Map
from gad_bench.patches.truth import MaskedMaps
from gad_bench.steps.measuring import measure_maps
from gad_bench.steps.parts import Parts

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Localised:
    """What was fitted, the test images' heat maps, and metrics of them by name.

    A detector on patches fits nothing more. The heat maps of several folds are the means of those
    images that all of them test, and the metrics are means over the folds.

    Attributes:
        fitted: what localises; None where the detector does.
        maps: the heat maps, with the defects' masks.
        maxima: each map's highest distance [images], by fold.
        metrics: what the maps are worth.
    """

    fitted: FittedLocalisation | None
    maps: MaskedMaps
    maxima: Sequence[Map]
    metrics: dict[str, Any]


def localise(
    config: DictConfig,
    parts: Parts,
    catalog: pd.DataFrame,
    split: Split,
    reader: Callable[[int], Image],
) -> Localised | None:
    """Return the heat maps of the test rows, fitted on the training rows; None for no localisation.

    The training images are taken as they are: augmentation makes vectors, not maps. The reader
    gives, of a row of the catalog, the image.

    Raises:
        UserError: an image cannot be read, or the local features admit no fit.
    """
    blocks = parts.blocks.of(parts.backbone.block_count())
    source = LocalSource(encoder=parts.encoder(config), blocks=blocks)
    started = time.perf_counter()
    train, test = ([reader(row) for row in rows] for rows in (split.train, split.test))
    fitted = parts.localisation.fit(source, train)
    if fitted is None:
        return None
    heat = fitted.heat_maps(source, test)
    found = measure_folds(catalog, [split], [heat], config.seed, parts.metrics)
    seconds = time.perf_counter() - started
    return replace(found, fitted=fitted, metrics={**found.metrics, "seconds_localise": seconds})


def measure_folds(
    catalog: pd.DataFrame,
    splits: Sequence[Split],
    heat: Sequence[HeatMaps],
    seed: int,
    definitions: Definitions = SOUND,
    held_out: Sequence[HeatMaps] = (),
) -> Localised:
    """Measure the heat maps of each fold's test rows, and average.

    Args:
        catalog: the images.
        splits: one a fold.
        heat: the heat maps of its test rows.
        seed: of the bootstrap.
        definitions: of those metrics that have several.
        held_out: the heat maps of each fold's validation rows, by which a threshold is set.
    """
    started = time.perf_counter()
    folds = [
        MaskedMaps(own, catalog.iloc[split.test]) for own, split in zip(heat, splits, strict=True)
    ]
    good = [
        MaskedMaps(own, catalog.iloc[split.validation])
        for own, split in zip(held_out, splits, strict=False)
    ]
    maxima = [maps.heat.maxima() for maps in folds]
    found = [
        _measure(maps, highest, own, seed, definitions)
        for maps, highest, own in zip_longest(folds, maxima, good)
    ]
    metrics = found[0]
    if len(found) > 1:
        shared = [key for key in metrics if all(key in fold for fold in found)]
        metrics = {key: float(np.mean([fold[key] for fold in found])) for key in shared}
    seconds = time.perf_counter() - started
    maps = folds[0] if len(folds) == 1 else _averaged(catalog, splits, heat)
    return Localised(
        fitted=None,
        maps=maps,
        maxima=maxima,
        metrics=metrics | {"seconds_localise": seconds},
    )


def _averaged(
    catalog: pd.DataFrame, splits: Sequence[Split], heat: Sequence[HeatMaps]
) -> MaskedMaps:
    """Return the mean heat map of every image that all folds test."""
    common = reduce(np.intersect1d, [split.test for split in splits])
    grids = [
        own.grids[np.searchsorted(split.test, common)]
        for own, split in zip(heat, splits, strict=True)
    ]
    mean = np.asarray(np.mean(grids, axis=0, dtype=np.float64), np.float32)
    return MaskedMaps(replace(heat[0], grids=mean), catalog.iloc[common])


def _measure(
    maps: MaskedMaps, maxima: Map, held_out: MaskedMaps | None, seed: int, definitions: Definitions
) -> dict[str, Any]:
    """Return what the heat maps are worth, nothing where good or anomalous images lack."""
    if set(maps.tested["label"]) != {0, 1}:
        return {}
    unknown = int((~maps.known).sum())
    if unknown:
        log.warning(
            "%d anomalous images have no mask or an empty one: the pixel metrics leave them out",
            unknown,
        )
    labels = maps.tested["label"]
    (areas,) = resampled_auroc(labels, [maxima], seed=seed)
    return {
        **with_intervals(
            {"auroc_heat_maximum": auroc(labels, maxima)}, {"auroc_heat_maximum": areas}
        ),
        "images_without_mask": unknown,
        **measure_maps(maps, held_out, definitions, seed),
    }
