"""A saved detector on other images, measured and recorded as a run is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from gad_bench.config import build, check
from gad_bench.data.catalog import Dataset
from gad_bench.deploy.detector import Detector
from gad_bench.deploy.folder import CONFIG
from gad_bench.describe import flatten, versions
from gad_bench.evaluation import Scores, evaluate
from gad_bench.evaluation.definitions import SOUND
from gad_bench.evaluation.working_points import measured_rates
from gad_bench.features.blocks import Blocks
from gad_bench.features.layout import ABOUT
from gad_bench.features.obtain import FeatureSource
from gad_bench.figures import draw_figures
from gad_bench.results import announce, point_the_way, write_results
from gad_bench.scoring import kept_dimensions, score_rows
from gad_bench.stopwatch import Stopwatch
from gad_bench.tracking import KEY, DatasetInput, Description, Tracker
from gad_bench.training import check_finite

FITTED = (
    *("backbone", "blocks", "runtime", "fold", "augmentation", "contamination"),
    *("normalisation", "reduction", "covariance", "detector", "combination", "threshold"),
    *("computation", "metrics"),
)
"""The keys that the detector's own config settles."""
DETECTOR_KEY, DETECTOR_CATEGORY = "detector_key", "detector_category"


def adopt(config: DictConfig, folder: Path) -> DictConfig:
    """Return a config whose groups are those that a saved detector was fitted with."""
    saved = cast("DictConfig", OmegaConf.load(folder / CONFIG))
    own = {str(key): value for key, value in config.items() if key not in FITTED}
    return OmegaConf.create(own | {key: saved[key] for key in FITTED if key in saved})


def evaluate_detector(
    detector: Detector, folder: Path, config: DictConfig, output: Path, images: str
) -> float:
    """Score a category's images, leave the files of a run and record them as one.

    Args:
        detector: loaded from the folder.
        folder: its folder.
        config: its category, data set, tracking and the values beside them count.
        output: the folder for the files.
        images: "test", or "all": the training images of the category, too.

    Returns:
        The AUROC of the image's score.

    Raises:
        UserError: the data set, the store or the detector's scores cannot be used.
    """
    watch = Stopwatch()
    check(config)
    dataset: Dataset = build(config.dataset)
    tracker: Tracker = build(config.tracking)
    catalog = dataset.catalog(config.category)
    tested = catalog if images == "all" else catalog[catalog["split"] == "test"]
    about = dict(detector.about) | {"dataset": dataset.name, "category": config.category}
    config = adopt(config, folder)
    description = _describe(detector, config, about)
    with tracker.run(description) as tracked:
        watch.lap("images")
        features = _source(detector, config, about).features(list(tested["path"]))
        watch.lap("features")
        check_finite(tested, features.blocks)
        scores = _score(detector, tested, features.blocks)
        watch.lap("score")
        definitions = build(config.metrics) if "metrics" in config else SOUND
        metrics = evaluate(scores, seed=config.seed, definitions=definitions) | {
            "images_test": len(tested),
            "seconds_extract": features.seconds_extract,
            "seconds_score": watch.seconds["score"],
            "cache_hit": features.cache_hit,
            **_rates(scores, detector.scorer.rule.threshold),
        }
        write_results(output, config, [tested], [scores], metrics)
        if config.figures:
            draw_figures(output, tested, scores, metrics)
        paths = os.path.commonpath(list(tested["path"]))
        name = f"{dataset.name}/{config.category}"
        inputs = DatasetInput(name=name, source=paths, digest=features.images_digest)
        tracked.log(metrics, inputs, output)
        watch.lap("metrics, figures and record")
    announce(description.name, metrics)
    point_the_way(output, features.path, metrics, watch, tracker.viewer)
    return float(metrics["auroc"])


def _describe(detector: Detector, config: DictConfig, about: Mapping[str, str]) -> Description:
    fitted = detector.about
    tags = {
        **{key: value for key, value in about.items() if not key.startswith("version.")},
        **versions(),
        KEY: f"evaluation of {fitted[KEY]}",
        DETECTOR_KEY: fitted[KEY],
        DETECTOR_CATEGORY: f"{fitted['dataset']}/{fitted['category']}",
    }
    name = f"{config.category} · detector of {fitted['category']} · {about['backbone']}"
    return Description(name=name, params=flatten(config), tags=tags)


def _source(detector: Detector, config: DictConfig, about: Mapping[str, str]) -> FeatureSource:
    return FeatureSource(
        backbone=detector.scorer.backbone,
        blocks=Blocks(indices=list(detector.scorer.model.blocks)),
        runtime=detector.scorer.runtime,
        device=config.device,
        batch_size=config.batch_size,
        cache_dir=config.cache_dir,
        keep_images=config.keep_images,
        about={name: about[name] for name in ABOUT},
    )


def _score(detector: Detector, tested: pd.DataFrame, features: dict[int, np.ndarray]) -> Scores:
    model = detector.scorer.model
    blocks, combined = score_rows(model, features, np.arange(len(tested)))
    laws = detector.scorer.rule.laws
    return Scores(
        labels=tested["label"].to_numpy(),
        defects=list(tested["defect"]),
        blocks=dict(zip(model.blocks, blocks.T, strict=True)),
        combined=combined,
        dimensions={block: law.dimension for block, law in laws.items()},
        kept=kept_dimensions(model),
        p_values=detector.scorer.rule.p_values(combined),
    )


def _rates(scores: Scores, threshold: float | None) -> dict[str, float]:
    """Return at which rates the detector's own threshold calls good and anomalous images so."""
    if threshold is None:
        return {}
    flagged = scores.combined > threshold
    return {
        "threshold_detector": threshold,
        **dict(measured_rates(scores.labels, flagged, "detector")),
    }
