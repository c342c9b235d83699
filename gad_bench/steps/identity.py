"""What identifies a run: its name, params and tags, and the key of its results."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.files import json_digest
from gad_bench.config import TARGET, leaves
from gad_bench.data.augmentation import NoAugmentation
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.images import mask_files
from gad_bench.data.split import Fold, Split
from gad_bench.features.source import FeatureSource
from gad_bench.figures.explanation import NoExplanation
from gad_bench.patches.heat_maps import NoLocalisation
from gad_bench.steps.parts import Parts
from gad_bench.tracking import FILES, KEY, Description

PACKAGES = (
    "gad_bench",
    "kornia",
    "numpy",
    "openvino",
    "opencv-python-headless",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
)
CHOICES = (
    *("backbone", "covariance", "reduction", "detector", "combination", "augmentation"),
    "computation",
)
FURTHER = ("reduction", "combination", "augmentation", "computation")
USUAL = ("none", "mean", "sound")
ALWAYS_USED = ("gad_bench", "numpy", "opencv-python-headless", "scikit-learn", "scipy", "torch")


def describe(
    config: DictConfig, tags: Mapping[str, str], sweep: str | None, key: str
) -> Description:
    """Describe a run by its config."""
    return Description(
        name=run_name(tags),
        params=flatten(config),
        tags={**tags, **versions(), KEY: key, FILES: files_left(config)},
        sweep=sweep,
    )


def files_left(config: DictConfig) -> str:
    """Return the kinds of files that a run leaves: results, figures, and by which explanation."""
    if not config.figures:
        return "results"
    explanation = OmegaConf.to_container(config.explanation, resolve=True)
    is_none = explanation == {TARGET: f"{NoExplanation.__module__}.{NoExplanation.__qualname__}"}
    further = "" if is_none else f" explanation:{json_digest(explanation)[:12]}"
    return f"results figures{further}"


def run_name(tags: Mapping[str, str]) -> str:
    """Return a run's name: what it ran on, and the choices that made it."""
    model = tags["covariance"] if tags["detector"] == "gaussian" else tags["detector"]
    further = [tags[group] for group in FURTHER if tags[group] not in USUAL]
    return " · ".join([tags["category"], tags["backbone"], model, *further, f"fold {tags['fold']}"])


def run_tags(config: DictConfig, fold: Fold) -> dict[str, str]:
    """Return the tags by which runs are compared."""
    choices = HydraConfig.get().runtime.choices
    tags = {group: str(choices[group]) for group in (*CHOICES, "dataset")}
    if choices.get("experiment"):
        tags["experiment"] = str(choices["experiment"])
    if choices["backbone"] == "timm":
        tags["backbone"] = str(config.backbone.name)
    return tags | {"category": config.category, "fold": fold.label}


@cache
def versions() -> dict[str, str]:
    """Return the versions that matter to the numbers, and the git commit of this code."""
    found = {}
    for package in PACKAGES:
        try:
            found[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    commit = _git_commit()
    return found | ({"mlflow.source.git.commit": commit} if commit else {})


def flatten(config: DictConfig) -> dict[str, Any]:
    """Return the resolved config as dotted keys, but for the other categories' facts."""
    resolved = OmegaConf.to_container(config, resolve=True)
    pairs = dict(leaves(resolved))
    others = [
        key
        for key in pairs
        if key.startswith("dataset.categories.")
        and not key.startswith(f"dataset.categories.{config.category}.")
    ]
    return {key: value for key, value in pairs.items() if key not in others}


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


MODEL = (
    *("normalisation", "reduction", "covariance", "detector"),
    *("combination", "localisation", "threshold"),
)


def result_key(
    config: DictConfig,
    parts: Parts,
    catalog: pd.DataFrame,
    splits: Sequence[Split],
    source: FeatureSource,
    images: Fingerprint,
) -> str:
    """Return the SHA-256 of everything that changes a run's numbers, and of nothing else.

    So neither the folders' names, nor the batch size, nor the tracking are part of it.

    Raises:
        UserError: an image or the weights cannot be read.
    """
    category = parts.dataset.facts(config.category)
    facts = {
        "versions": used_versions(source.facts(), parts),
        "features": source.facts(),
        "blocks": source.wanted_blocks(),
        "images": list(images.digests),
        "masks": _masks(parts, catalog, source),
        "defects": list(catalog["defect"]),
        "fitted": [split.train.tolist() for split in splits],
        "held_out": [split.validation.tolist() for split in splits],
        "tested": [split.test.tolist() for split in splits],
        "passes": parts.augmentation.passes,
        "augmentation": dict(parts.augmentation.facts(category)),
        "model": {group: _told(config[group]) for group in MODEL},
        "seed": config.seed,
    }
    metrics = _told(config.metrics)
    if metrics.keys() != {TARGET}:
        facts["metrics"] = metrics
    if cross := parts.cross_fits(catalog, splits):
        facts["held_out_in_turn"] = [split.validation.tolist() for split in cross]
    return json_digest(facts)


def _told(group: DictConfig) -> dict[str, Any]:
    """Return a part's values, but for those that are its class's own.

    So a value that a later version adds leaves the keys of before as they were.
    """
    return _without_defaults(OmegaConf.to_container(group, resolve=True))


def _without_defaults(node: Any) -> Any:  # noqa: ANN401 - any YAML
    if not isinstance(node, dict):
        return node
    own = get_class(node[TARGET]) if TARGET in node else None
    defaults = {field.name: field.default for field in fields(own)} if is_dataclass(own) else {}
    return {
        key: _without_defaults(value)
        for key, value in node.items()
        if key not in defaults or defaults[key] != value
    }


def used_versions(features: Mapping[str, Any], parts: Parts) -> dict[str, str]:
    """Return the versions of the packages that a run's numbers come from.

    Args:
        features: the facts of their source.
        parts: the run's.
    """
    is_timm = features["backbone"].get("architecture", "").startswith("timm/")
    is_augmented = not isinstance(parts.augmentation, NoAugmentation)
    used = {
        **dict.fromkeys(ALWAYS_USED, True),
        "timm": is_timm,
        "kornia": is_augmented,
        "openvino": features["runtime"].get("runtime") == "openvino",
    }
    known = versions()
    return {name: known.get(f"version.{name}", "") for name, is_used in used.items() if is_used}


def _masks(parts: Parts, catalog: pd.DataFrame, source: FeatureSource) -> list[list[str]]:
    """Return the digests of each image's masks, where they are measured against."""
    if isinstance(parts.localisation, NoLocalisation):
        return []
    masks = [list(map(str, mask_files(mask))) if mask else [] for mask in catalog["mask"]]
    files = [file for of_image in masks for file in of_image]
    digests = dict(zip(files, source.fingerprint(files).digests, strict=True)) if files else {}
    return [[digests[file] for file in of_image] for of_image in masks]
