"""From a run to a detector's folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig, OmegaConf

from gad_bench.base.errors import UserError
from gad_bench.data.split import Split
from gad_bench.deploy.detector import Scorer
from gad_bench.deploy.format import FACTS, Arrays, encode, read_folder, require_new, write_folder
from gad_bench.deploy.rule import decision_rule
from gad_bench.evaluation import Scores
from gad_bench.features.interface import Backbone
from gad_bench.features.source import FeatureSource
from gad_bench.features.tiles import TiledBackbone
from gad_bench.gaussian.baselines import IsolationForest
from gad_bench.steps.cross_fitting import CrossFits
from gad_bench.steps.evidence import Model
from gad_bench.steps.localising import Localised
from gad_bench.steps.parts import Parts
from gad_bench.tracking import KEY
from gad_bench.trained import ImageDetector

log = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """What a run's only fold came to."""

    model: Model
    scores: Scores
    cross: CrossFits
    localised: Localised | None


def check_savable(config: DictConfig, detector: object, splits: Sequence[Split], key: str) -> None:
    """Refuse what cannot be saved before anything is extracted.

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
    if isinstance(detector, ImageDetector):
        raise UserError("a trained network cannot be saved: the cache keeps it, for runs alone")
    if config.resume:
        raise UserError("save and resume=true exclude one another: what is restored is not fitted")
    folder = save_folder(config)
    if (folder / FACTS).is_file():
        is_saved(config, key)
    else:
        require_new(folder)
        _require_writable(folder)


def is_saved(config: DictConfig, key: str) -> bool:
    """Tell whether the folder that `save` names holds the detector of a run of the same key.

    A run that was killed, or not recorded, after it had saved its detector goes on by that.

    Raises:
        UserError: it holds another detector, or a damaged one.
    """
    folder = save_folder(config)
    if not folder.exists():
        return False
    facts, _ = read_folder(folder)
    about = facts.get("about")
    if not isinstance(about, dict) or about.get(KEY) != key:
        raise UserError(f"save={folder} holds another run's detector: name a new folder")
    return True


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
    folder = save_folder(config)
    if is_saved(config, about[KEY]):
        log.info("%s holds this run's detector already, and stays as it is", folder)
        return folder
    rule = decision_rule(fitted.model, parts.threshold, fitted.scores, fitted.cross, parts.metrics)
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
    write_folder(folder, facts, arrays, OmegaConf.to_yaml(config, resolve=True))
    return folder


def _require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made, before hours are spent on what it is to hold."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent):
            pass
    except OSError as error:
        raise UserError(
            f"save={folder}: {folder.parent} cannot be written ({error.strerror}): "
            "name another folder"
        ) from error


def _placed(backbone: Backbone) -> Backbone:
    """Name the weights by a path that holds wherever the detector is loaded."""
    if isinstance(backbone, TiledBackbone):
        return replace(backbone, backbone=_placed(backbone.backbone))
    weights = getattr(backbone, "weights", None)
    if weights is None:
        return backbone
    absolute = str(Path(weights).expanduser().absolute())
    return cast("Backbone", replace(cast("Any", backbone), weights=absolute))
