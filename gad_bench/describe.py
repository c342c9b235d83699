"""What identifies a run in the tracking store: its name, params and tags."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gad_bench.config import leaves
from gad_bench.split import Fold
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
CHOICES = (
    *("backbone", "covariance", "reduction", "detector", "combination", "augmentation"),
    "computation",
)
FURTHER = ("reduction", "combination", "augmentation", "computation")
USUAL = ("none", "mean", "sound")


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
