"""From a run's images to heat maps and what they are worth."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gad_bench.base.files import json_digest
from gad_bench.data.split import Split
from gad_bench.evaluation.definitions import SOUND, Definitions
from gad_bench.evaluation.intervals import resampled_auroc, with_intervals
from gad_bench.evaluation.kept_resamples import KeptResamples
from gad_bench.evaluation.metrics import Vector, auroc
from gad_bench.evaluation.scores import means_of_folds
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
        resamples: the same over resamples of the images, where all folds test the same ones.
    """

    fitted: FittedLocalisation | None
    maps: MaskedMaps
    maxima: Sequence[Map]
    metrics: dict[str, Any]
    resamples: KeptResamples | None


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
    metrics: dict[str, Any] = {**means_of_folds([with_intervals(*own) for own in found])}
    seconds = time.perf_counter() - started
    maps = folds[0] if len(folds) == 1 else _averaged(catalog, splits, heat)
    return Localised(
        fitted=None,
        maps=maps,
        maxima=maxima,
        metrics=metrics | {"seconds_localise": seconds},
        resamples=_kept(folds, [drawn for _, drawn in found], metrics, seed),
    )


def _kept(
    folds: Sequence[MaskedMaps],
    drawn: Sequence[Mapping[str, Vector]],
    metrics: Mapping[str, float],
    seed: int,
) -> KeptResamples | None:
    """Return the means over folds of the figures over resamples, where these are the same."""
    shared = [name for name in drawn[0] if all(name in fold for fold in drawn)]
    if not shared:
        return None
    digests = {
        json_digest(
            [*maps.tested[["path", "label"]].to_numpy().tolist(), *maps.known.tolist(), seed]
        )
        for maps in folds
    }
    if len(digests) > 1:
        return None
    counts = folds[0].tested["label"].value_counts()
    return KeptResamples(
        images=digests.pop(),
        fewest=int(counts.min()),
        tested=int(counts.sum()),
        values={name: float(metrics[name]) for name in shared},
        drawn={name: np.mean([fold[name] for fold in drawn], axis=0) for name in shared},
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
) -> tuple[dict[str, Any], dict[str, Vector]]:
    """Return what the heat maps are worth, nothing where good or anomalous images lack.

    Beside it stand the figures over resamples [resamples].
    """
    if set(maps.tested["label"]) != {0, 1}:
        return {}, {}
    unknown = int((~maps.known).sum())
    if unknown:
        log.warning(
            "%d anomalous images have no mask or an empty one: the pixel metrics leave them out",
            unknown,
        )
    labels = maps.tested["label"]
    (areas,) = resampled_auroc(labels, [maxima], seed=seed)
    found, drawn = measure_maps(maps, held_out, definitions, seed)
    own = {"auroc_heat_maximum": auroc(labels, maxima), "images_without_mask": unknown}
    return own | found, {"auroc_heat_maximum": areas, **drawn}
