"""What identifies a run: its name, params and tags, and the key of its results."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.files import json_digest
from gad_bench.config import leaves
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.images import mask_files
from gad_bench.data.split import Fold, Split
from gad_bench.features.source import FeatureSource
from gad_bench.patches import PatchDetector
from gad_bench.patches.heat_maps import NoLocalisation
from gad_bench.steps.parts import Parts
from gad_bench.tracking import KEY, Description

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
CHOICES = ("backbone", "covariance", "reduction", "detector", "combination", "augmentation")
FURTHER, USUAL = ("reduction", "combination", "augmentation"), ("none", "mean")


def describe(
    config: DictConfig, tags: Mapping[str, str], sweep: str | None, key: str
) -> Description:
    """Describe a run by its config."""
    return Description(
        name=run_name(tags),
        params=flatten(config),
        tags={**tags, **versions(), KEY: key},
        sweep=sweep,
    )


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
        "version": version("gad_bench"),
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
        "model": {group: OmegaConf.to_container(config[group], resolve=True) for group in MODEL},
        "seed": config.seed,
    }
    if isinstance(parts.detector, PatchDetector):
        facts["maps"] = parts.maps.precision
    return json_digest(facts)


def _masks(parts: Parts, catalog: pd.DataFrame, source: FeatureSource) -> list[list[str]]:
    """Return the digests of each image's masks, where they are measured against."""
    localises = not isinstance(parts.localisation, NoLocalisation)
    if not (localises or isinstance(parts.detector, PatchDetector)):
        return []
    masks = [list(map(str, mask_files(mask))) if mask else [] for mask in catalog["mask"]]
    files = [file for of_image in masks for file in of_image]
    digests = dict(zip(files, source.fingerprint(files).digests, strict=True)) if files else {}
    return [[digests[file] for file in of_image] for of_image in masks]
