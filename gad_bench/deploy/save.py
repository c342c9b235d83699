"""From a run to a detector's folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig, OmegaConf

from gad_bench.base.errors import UserError
from gad_bench.data.split import Split
from gad_bench.deploy.detector import Scorer
from gad_bench.deploy.format import Arrays, encode, require_new, write_folder
from gad_bench.deploy.rule import decision_rule
from gad_bench.evaluation import Scores
from gad_bench.features.interface import Backbone
from gad_bench.features.source import FeatureSource
from gad_bench.gaussian import Detector
from gad_bench.gaussian.baselines import IsolationForest
from gad_bench.patches import PatchDetector
from gad_bench.steps.evidence import Model
from gad_bench.steps.localising import Localised
from gad_bench.steps.parts import Parts

log = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """What a run's only fold came to."""

    model: Model
    scores: Scores
    localised: Localised | None


def check_savable(
    config: DictConfig, detector: Detector | PatchDetector, splits: Sequence[Split]
) -> None:
    """Refuse what cannot be saved, where that is asked for, before anything is computed.

    Raises:
        UserError: says what stands in the way.
    """
    if config.save is None:
        return
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
    parts: Parts,
    source: FeatureSource,
    fitted: Fitted,
    about: Mapping[str, str],
) -> Path:
    """Write a run's detectors with all that scores new images.

    Args:
        config: the run's.
        parts: the run's.
        source: of its features.
        fitted: what its only fold came to.
        about: for people, and to find the run: its tags.

    Returns:
        The folder.

    Raises:
        UserError: a part cannot be written as arrays, or the folder is there already.
    """
    rule = decision_rule(fitted.model, parts.threshold, fitted.scores.held_out)
    log.info("%s", rule.told)
    scorer = Scorer(
        backbone=_placed(parts.backbone),
        runtime=parts.runtime,
        model=fitted.model,
        rule=rule,
        localisation=fitted.localised.fitted if fitted.localised else None,
        precision=parts.maps.precision,
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
