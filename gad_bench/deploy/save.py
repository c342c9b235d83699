"""From a run to a detector's folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from omegaconf import DictConfig, OmegaConf

from gad_bench.components import Components
from gad_bench.deploy.detector import Scorer
from gad_bench.deploy.encoding import Arrays, encode
from gad_bench.deploy.folder import require_new, write_folder
from gad_bench.deploy.rule import decision_rule
from gad_bench.errors import UserError
from gad_bench.evaluation import Scores
from gad_bench.features.interface import Backbone
from gad_bench.features.obtain import FeatureSource
from gad_bench.gaussian import Combination, Detector, Evidence
from gad_bench.gaussian.baselines import IsolationForest
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.statistics import Matrix, Vector
from gad_bench.localise import Localised
from gad_bench.scoring import fit_as_one, fit_blocks, score_rows, side_by_side
from gad_bench.split import Rows, Split
from gad_bench.threads import one_thread
from gad_bench.training import Training

log = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """What a fold was fitted on, and what came of it."""

    training: Training
    split: Split
    scores: Scores
    localised: Localised | None


def check_savable(config: DictConfig, detector: Detector, splits: Sequence[Split]) -> None:
    """Refuse what cannot be saved before anything is computed.

    Raises:
        UserError: says what stands in the way.
    """
    if len(splits) > 1:
        raise UserError(
            f"save={config.save} takes one detector, and fold=cross fits {len(splits)}: "
            "use fold=full, or one fold of fold=kfold"
        )
    if isinstance(detector, IsolationForest):
        raise UserError("detector=isolation_forest cannot be saved without pickle: choose another")
    if config.resume:
        raise UserError("save and resume=true exclude one another: what is restored is not fitted")
    require_new(save_folder(config))


def save_folder(config: DictConfig) -> Path:
    """Return the folder that `save` names."""
    return Path(config.save).expanduser()


def save_detector(
    config: DictConfig,
    parts: Components,
    source: FeatureSource,
    fitted: Fitted,
    about: Mapping[str, str],
) -> Path:
    """Fit a run's detectors once more and write them with all that scores new images.

    Args:
        config: the run's.
        parts: the run's.
        source: of its features.
        fitted: what its only fold was fitted on, and what came of it.
        about: for people, and to find the run: its tags.

    Returns:
        The folder.

    Raises:
        UserError: a part cannot be written as arrays, or the folder is there already.
    """
    model = fit_model(fitted.training, fitted.split, parts.detector, parts.combination)
    rule = decision_rule(model, parts.threshold, fitted.scores.held_out)
    log.info("%s", rule.told)
    scorer = Scorer(
        backbone=_placed(parts.backbone),
        runtime=parts.runtime,
        model=model,
        rule=rule,
        localisation=fitted.localised.fitted if fitted.localised else None,
    )
    arrays: Arrays = {}
    facts: dict[str, Any] = {
        "about": dict(about),
        "features": source.facts(),
        "scorer": encode(scorer, "scorer", arrays),
    }
    folder = save_folder(config)
    write_folder(folder, facts, arrays, OmegaConf.to_yaml(config, resolve=True))
    return folder


def _placed(backbone: Backbone) -> Backbone:
    """Name the weights by a path that holds wherever the detector is loaded."""
    weights = getattr(backbone, "weights", None)
    if weights is None:
        return backbone
    absolute = str(Path(weights).expanduser().absolute())
    return cast("Backbone", replace(cast("Any", backbone), weights=absolute))


@one_thread()
def fit_model(
    training: Training, split: Split, detector: Detector, combination: Combination
) -> FittedModel:
    """Fit a detector per block, and what else the combination asks for.

    It is asked once, for the fitted images' scores: so what nobody needs is neither made nor kept.

    Raises:
        UserError: a block's features admit no fit.
    """
    blocks = fit_blocks(training, split, detector)
    rows = training.rows(split)
    asked: dict[str, Any] = {"fitted_scores": None, "as_one": None}

    def scores_of(chosen: Rows) -> Matrix:
        columns = [score_rows(own, training.blocks[block], chosen) for block, own in blocks.items()]
        return np.column_stack(columns)

    def fitted_scores() -> Matrix:
        asked["fitted_scores"] = scores_of(rows)
        return asked["fitted_scores"]

    def score_as_one() -> Vector:
        asked["as_one"] = fit_as_one(training, split, detector)
        return score_rows(asked["as_one"], side_by_side(training.blocks), rows[:1])

    combination.combine(
        Evidence(scores=scores_of(rows[:1]), fitted_scores=fitted_scores, score_as_one=score_as_one)
    )
    return FittedModel(blocks=blocks, combination=combination, **asked)
