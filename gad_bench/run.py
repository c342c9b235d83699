"""One run, top to bottom: images, features, Gaussians, scores, metrics, record."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from gad_bench.components import Components
from gad_bench.config import check
from gad_bench.describe import describe, run_tags
from gad_bench.evaluation import average_folds, evaluate, evaluate_folds, working_points
from gad_bench.features.obtain import FeatureSource
from gad_bench.figures import draw_calibration, draw_figures
from gad_bench.key import result_key
from gad_bench.localisation_figure import draw_localisation
from gad_bench.localise import localise
from gad_bench.results import (
    announce,
    announce_rates,
    announce_restored,
    point_the_way,
    write_results,
)
from gad_bench.scoring import fit_blocks, score
from gad_bench.split import split_catalog
from gad_bench.tracking import DatasetInput
from gad_bench.training import obtain_training


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
    catalog = parts.dataset.catalog(config.category)
    splits = split_catalog(catalog, parts.fold, config.contamination, config.seed)
    if len(splits) > 1:
        parts.require_one_fold()
    parts.threshold.require_held_out([len(split.validation) for split in splits])
    tags = run_tags(config, parts.fold)
    source = FeatureSource(
        backbone=parts.backbone,
        blocks=parts.blocks,
        runtime=parts.runtime,
        extraction=parts.extraction,
        device=config.device,
        batch_size=config.batch_size,
        cache_dir=config.cache_dir,
        about={name: tags[name] for name in ("dataset", "category", "backbone")},
    )
    key = result_key(config, parts, catalog, splits, source)
    description = describe(config, tags, sweep, key)
    if config.resume and parts.tracking.restore(description, output):
        return announce_restored(description.name, output)

    with parts.tracking.run(description) as tracked:
        features = source.features(list(catalog["path"]))
        limits = parts.dataset.facts(config.category)
        training = obtain_training(catalog, splits, features, source, parts.augmentation, limits)

        started = time.perf_counter()
        scores = [
            score(catalog, features.blocks, training, split, parts.detector, parts.combination)
            for split in splits
        ]
        seconds_fit = time.perf_counter() - started

        localised = localise(config, parts, catalog, splits[0])
        tested = [split.test for split in splits]
        points = working_points(parts.threshold, scores, tested)
        metrics = evaluate_folds(scores, seed=config.seed) | {
            "images_train": int(np.median([len(split.train) for split in splits])),
            "images_test": int(np.median([len(split.test) for split in splits])),
            "seconds_extract": features.seconds_extract + training.seconds_extract,
            "seconds_fit": seconds_fit,
            "cache_hit": features.cache_hit and training.cache_hit,
            **(localised.metrics if localised else {}),
            **points.metrics,
        }
        tables = [catalog.iloc[rows] for rows in tested]
        write_results(output, config, tables, points.scores, metrics)
        if config.figures:
            shown, rows = average_folds(scores, tested)
            draw_figures(output, catalog.iloc[rows], shown, evaluate(shown, seed=config.seed))
            if localised:
                draw_localisation(output, localised, shown)
            fitted = partial(fit_blocks, parts.detector, training, splits[0])
            parts.explanation.draw(output, catalog.iloc[rows], features.blocks, rows, shown, fitted)
            draw_calibration(output, parts.threshold, scores, tested)
        images = DatasetInput(
            name=f"{parts.dataset.name}/{config.category}",
            source=os.path.commonpath(list(catalog["path"])),
            digest=features.images_digest,
        )
        tracked.log(metrics, images, output)
    announce(description.name, metrics)
    if sweep is None:
        announce_rates(metrics)
        point_the_way(output, features.path, metrics, parts.tracking.viewer)
    return float(metrics["auroc"])
