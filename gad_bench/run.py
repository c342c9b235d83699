"""One run, top to bottom: images, features, Gaussians, scores, metrics, record."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from gad_bench.components import Components
from gad_bench.config import check
from gad_bench.describe import describe
from gad_bench.evaluation import evaluate
from gad_bench.features.obtain import obtain
from gad_bench.figures import draw_figures
from gad_bench.localisation_figure import draw_localisation
from gad_bench.localise import localise
from gad_bench.results import announce, point_the_way, write_results
from gad_bench.scoring import fit_blocks, score
from gad_bench.split import split_catalog
from gad_bench.tracking import DatasetInput


def run(config: DictConfig, output: Path, sweep: str | None) -> float:
    """Carry out one run and leave its files in the output folder.

    Args:
        config: the composed config.
        output: the folder, made by Hydra.
        sweep: the name of the sweep that the run is a job of; None for a run on its own.

    Returns:
        The AUROC of the combined score.

    Raises:
        UserError: the config asks for something impossible.
    """
    check(config)
    parts = Components.build(config)
    description = describe(config, parts.fold, sweep)
    with parts.tracking.run(description) as tracked:
        catalog = parts.dataset.catalog(config.category)
        split = split_catalog(catalog, parts.fold, config.contamination, config.seed)
        features = obtain(
            list(catalog["path"]),
            parts.backbone,
            parts.blocks,
            parts.runtime,
            config,
            about={key: description.tags[key] for key in ("dataset", "category", "backbone")},
        )

        started = time.perf_counter()
        scores = score(catalog, features.blocks, split, parts.detector, parts.combination)
        seconds_fit = time.perf_counter() - started

        localised = localise(config, parts, catalog, split)
        metrics = evaluate(scores, seed=config.seed) | {
            "images_train": len(split.train),
            "images_test": len(split.test),
            "seconds_extract": features.seconds_extract,
            "seconds_fit": seconds_fit,
            "cache_hit": features.cache_hit,
        }
        if localised:
            metrics |= localised.metrics
        tested = catalog.iloc[split.test]
        write_results(output, config, tested, scores, metrics)
        if config.figures:
            draw_figures(output, tested, scores, metrics)
            if localised:
                draw_localisation(output, localised, scores)
            fitted = partial(fit_blocks, parts.detector, features.blocks, split.train)
            parts.explanation.draw(output, tested, features.blocks, split.test, scores, fitted)
        images = DatasetInput(
            name=f"{parts.dataset.name}/{config.category}",
            source=os.path.commonpath(list(catalog["path"])),
            digest=features.images_digest,
        )
        tracked.log(metrics, images, output)
    announce(description.name, metrics)
    if sweep is None:
        point_the_way(output, features.path, metrics, parts.tracking.viewer)
    return float(metrics["auroc"])
