"""A saved detector on other images, measured and recorded as a run is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.errors import UserError
from gad_bench.base.process import Stopwatch
from gad_bench.base.references import escaped
from gad_bench.base.stored_config import read_stored_mapping
from gad_bench.config import build, build_dataset, check, require_known_classes
from gad_bench.data.split import Split
from gad_bench.deploy.detector import SavedDetector
from gad_bench.deploy.format import CONFIG
from gad_bench.deploy.rule import DecisionRule
from gad_bench.evaluation import Scores, evaluate
from gad_bench.evaluation.definitions import SOUND, Definitions
from gad_bench.evaluation.thresholds import CONFORMAL
from gad_bench.evaluation.working_points import measured_rates
from gad_bench.features.blocks import Blocks
from gad_bench.features.extraction import Here
from gad_bench.features.maps import ObtainedMaps
from gad_bench.features.store import StoredFeatures
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.statistics import Vector
from gad_bench.patches import FittedPatchDetector
from gad_bench.steps.evidence import score_maps
from gad_bench.steps.identity import CHOICES, flatten, versions
from gad_bench.steps.last_words import announce, point_the_way
from gad_bench.steps.localising import Localised, measure_folds
from gad_bench.steps.parts import stored_source
from gad_bench.steps.results import (
    scored_images,
    scores_table,
    write_metrics,
    write_missed,
    write_scores,
)
from gad_bench.steps.scoring import parted_scores, score
from gad_bench.steps.training import check_finite
from gad_bench.tracking import KEY, Description, Tracker

FITTED = (
    *("backbone", "input", "blocks", "runtime", "fold", "augmentation", "contamination"),
    *("normalisation", "reduction", "covariance", "detector", "combination", "threshold"),
    *("computation", "metrics"),
)
"""The keys that the detector's own config settles."""
DETECTOR_KEY, DETECTOR_CATEGORY = "detector_key", "detector_category"


def adopt(config: DictConfig, folder: Path, trust: Sequence[str] = ()) -> DictConfig:
    """Return a config whose groups are those that a saved detector was fitted with.

    Raises:
        UserError: the detector's config is missing, damaged, or names a class that is not trusted.
    """
    saved = read_stored_mapping(folder / CONFIG)
    fitted = {key: saved[key] for key in FITTED if key in saved}
    require_known_classes(fitted, str(folder / CONFIG), trust)
    own = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))
    others = {key: value for key, value in own.items() if key not in FITTED}
    return OmegaConf.create(escaped(others | fitted))


def evaluate_detector(
    detector: SavedDetector, adopted: DictConfig, config: DictConfig, output: Path, images: str
) -> float:
    """Score a category's images, leave the files of a run and record them as one.

    Args:
        detector: loaded from the folder.
        adopted: the config as `adopt` returns it, which is recorded.
        config: its category, data set, tracking and the values beside them count.
        output: the folder for the files.
        images: "test", or "all": the training images of the category, too.

    Returns:
        The AUROC of the image's score, NaN where the images are all good or all anomalous.

    Raises:
        UserError: there are no such images, or the data set, the store or the detector's scores
            cannot be used.
    """
    watch = Stopwatch()
    check(config)
    dataset = build_dataset(config, config.category)
    tracker: Tracker = build(config.tracking)
    catalog = dataset.catalog(config.category)
    if images == "test":
        catalog = catalog[catalog["split"] == "test"].reset_index(drop=True)
        if catalog.empty:
            raise UserError(
                f"category {config.category} has no test images: images=all takes the others, too"
            )
    about = dict(detector.about) | {"dataset": dataset.name, "category": config.category}
    config = adopted
    description = _describe(detector, config, about)
    with tracker.run(description) as tracked:
        watch.lap("images")
        features = _obtain(detector, config, about, catalog)
        watch.lap("features")
        definitions = build(config.metrics) if "metrics" in config else SOUND
        scores, localised = _score(detector, catalog, features, config.seed, definitions)
        watch.lap("score")
        metrics = evaluate(scores, seed=config.seed, definitions=definitions) | {
            **(localised.metrics if localised else {}),
            "images_test": len(catalog),
            "seconds_extract": features.seconds_extract,
            "seconds_score": watch.seconds["score"],
            "cache_hit": features.cache_hit,
            **_rates(scores, detector.scorer.rule),
        }
        flagged = detector.scorer.rule.decisions(scores.combined, scores.p_values)
        if flagged is not None and (scores.labels == 1).any():
            write_missed(output, scores_table(catalog, scores), flagged)
        write_scores(output, config, [catalog], [scores], localised)
        if config.figures:
            from gad_bench.figures.run_figures import draw_figures

            decided = metrics | _threshold(detector.scorer.rule)
            draw_figures(output, catalog, scores, decided, description.name)
            if localised and not scores.lacking:
                from gad_bench.figures.heat_maps import draw_localisation

                maps, found = localised.maps, localised.metrics
                file = output / "localisation.png"
                draw_localisation(file, maps, scores, found, description.name)
        write_metrics(output, metrics)
        tracked.log(metrics, scored_images(dataset, config.category, catalog, features), output)
        watch.lap("metrics, figures and record")
    announce(description.name, metrics, scores)
    point_the_way(output, features.path, metrics, watch, tracker.viewer)
    return float(metrics.get("auroc", "nan"))


def _describe(detector: SavedDetector, config: DictConfig, about: Mapping[str, str]) -> Description:
    fitted = detector.about
    tags = {
        **{key: value for key, value in about.items() if not key.startswith("version.")},
        **versions(),
        KEY: f"evaluation of {fitted[KEY]}",
        DETECTOR_KEY: fitted[KEY],
        DETECTOR_CATEGORY: f"{fitted['dataset']}/{fitted['category']}",
    }
    name = f"{config.category} · detector of {fitted['category']} · {about['backbone']}"
    chosen = {group: tags[group] for group in CHOICES if group in tags}
    return Description(name=name, params={**chosen, **flatten(config)}, tags=tags)


def _obtain(
    detector: SavedDetector, config: DictConfig, about: Mapping[str, str], catalog: pd.DataFrame
) -> StoredFeatures | ObtainedMaps:
    """Return the images' vectors, or the maps that a detector on patches judges by."""
    model, images = detector.scorer.model, list(catalog["path"])
    blocks = Blocks(indices=detector.scorer.blocks or None)
    source = stored_source(detector.encoder, blocks, config, about, Here())
    if isinstance(model, FittedPatchDetector):
        storage = replace(build(config.maps), precision=detector.scorer.precision, keep=[])
        return replace(source, storage=storage).maps(images, model.embedding.blocks)
    features = source.features(images)
    check_finite(catalog, features.blocks)
    return features


def _score(
    detector: SavedDetector,
    catalog: pd.DataFrame,
    features: StoredFeatures | ObtainedMaps,
    seed: int,
    definitions: Definitions,
) -> tuple[Scores, Localised | None]:
    """Score every image of the catalog as a test image; the seed is the bootstrap's."""
    nothing, scorer, model = np.arange(0), detector.scorer, detector.scorer.model
    everything = Split(train=nothing, validation=nothing, test=np.arange(len(catalog)))
    localised = None
    if isinstance(features, ObtainedMaps):
        found = score_maps(cast("FittedPatchDetector", model), features.rows(everything.test))
        scores = parted_scores(catalog, everything, found.images)
        heat = cast("FittedPatchDetector", model).heat_maps(
            found.grids, scorer.backbone.image_size()
        )
        localised = measure_folds(catalog, [everything], [heat], seed, definitions)
    else:
        scores = score(catalog, features.blocks, cast("FittedModel", model), everything)
    return replace(scores, p_values=_p_values(detector, scores, features)), localised


def _p_values(
    detector: SavedDetector, scores: Scores, features: StoredFeatures | ObtainedMaps
) -> Vector | None:
    """Return what the detector's rule says of the images; maps are read some at a time."""
    rule = detector.scorer.rule
    if not isinstance(features, ObtainedMaps):
        return rule.p_values(scores.combined, features.blocks)
    maps = features.rows(np.arange(len(scores.combined)))
    found = [rule.p_values(scores.combined[rows], maps.read(rows)) for rows in maps.batches()]
    known = [values for values in found if values is not None]
    return np.concatenate(known) if known else None


def _threshold(rule: DecisionRule) -> dict[str, float]:
    """Return by what images held out decide, under the names that a run's figures know."""
    if rule.method != CONFORMAL:
        return {}
    threshold = {} if rule.threshold is None else {"threshold_conformal": rule.threshold}
    return {"fpr_used": rule.rate, **threshold}


def _rates(scores: Scores, rule: DecisionRule) -> dict[str, float]:
    """Return at which rates the detector's own rule calls good and anomalous images anomalous."""
    flagged = rule.decisions(scores.combined, scores.p_values)
    if flagged is None:
        return {}
    threshold = {} if rule.threshold is None else {"threshold_detector": rule.threshold}
    return threshold | dict(measured_rates(scores.labels, flagged, "detector"))
