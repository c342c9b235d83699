"""What identifies a run: its name, params and tags, and the key of its results."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.choices import default_choices
from gad_bench.base.files import json_digest
from gad_bench.base.process import config_folder, device_name
from gad_bench.base.run_folder import COST_DEVICE
from gad_bench.config import TARGET, leaves
from gad_bench.data.augmentation import NoAugmentation
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.images import mask_files
from gad_bench.data.painting import NoSelection
from gad_bench.data.split import LabelledFold, Split
from gad_bench.features.source import FeatureSource
from gad_bench.figures.embedding import NoEmbedding
from gad_bench.figures.explanation import NoExplanation
from gad_bench.patches import PatchDetector
from gad_bench.patches.heat_maps import NoLocalisation
from gad_bench.steps.attribution import PixelExplanation
from gad_bench.steps.parts import SUPERVISED, Parts
from gad_bench.tracking import FILES, KEY, Description
from gad_bench.trained import ImageDetector

PACKAGES = (
    "gad_bench",
    "kornia",
    "lightning",
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
PLAIN = (
    "reduction",
    "combination",
    "augmentation",
)  # groups whose choices say themselves what is meant
BESIDE = (
    *("dataset", "fold", "explanation", "embedding", "extraction", "tracking"),
    *("experiment", "variant", "selection"),
)
"""Groups that a run's name has in other words, or that leave its numbers as they are."""
VALUES = ("shots", "contamination", "largest_contamination", "seed")
"""Values of the top level that change the numbers."""
ALWAYS_USED = ("gad_bench", "numpy", "opencv-python-headless", "scikit-learn", "scipy", "torch")


def describe(
    config: DictConfig, tags: Mapping[str, str], sweep: str | None, key: str
) -> Description:
    """Describe a run by its config."""
    return Description(
        name=run_name(tags),
        params={**tags, **flatten(config)},
        tags={**tags, **versions(), **_device(config), KEY: key, FILES: files_left(config)},
        sweep=sweep,
    )


def files_left(config: DictConfig) -> str:
    """Return the kinds of files that a run leaves: results, figures, and by which choices."""
    results = ["results", "cost"] if config.cost else ["results"]
    if not config.figures:
        return " ".join(results)
    further = [
        f"{group}:{json_digest(chosen)[:12]}"
        for group, none in (("explanation", NoExplanation), ("embedding", NoEmbedding))
        if (chosen := OmegaConf.to_container(config[group], resolve=True))
        != {TARGET: f"{none.__module__}.{none.__qualname__}"}
    ]
    return " ".join([*results, "figures", *further])


def _device(config: DictConfig) -> dict[str, str]:
    """Return the name of the device whose time and memory are measured."""
    return {COST_DEVICE: device_name(config.device)} if config.cost else {}


def run_name(tags: Mapping[str, str]) -> str:
    """Return a run's name: its method, where that is not the usual one, and what it ran on."""
    method = "covariance" if tags["detector"] == "gaussian" else "detector"
    usual = default_choices()
    further = [
        tags[group] if group in PLAIN else f"{tags[group]} {group}"
        for group in tags
        if group in usual and tags[group] != usual[group]
        if group not in ("covariance", "detector", "backbone", *BESIDE)
    ]
    values = [f"{key}={value}" for key, value in tags.items() if "." in key or key in VALUES]
    model = [tags[method], tags["backbone"], *further, *values]
    fold = f"fold {tags['fold']}" if "folds" not in tags else f"{tags['folds']} fold {tags['fold']}"
    return " · ".join([*model, tags["category"], fold])


def run_tags(config: DictConfig, parts: Parts) -> dict[str, str]:
    """Return the tags by which runs are compared: every group's choice, and each changed value."""
    choices = HydraConfig.get().runtime.choices
    groups = [str(group) for group in choices if "/" not in group and group != "tracking"]
    tags = {group: str(choices[group]) for group in groups if choices[group] is not None}
    changed = changed_values(config, {group: tags[group] for group in groups if group in tags})
    if tags["backbone"] == "timm":
        tags["backbone"] = str(config.backbone.name)
        changed.pop("backbone.name")
    if isinstance(parts.fold, LabelledFold):
        tags["folds"] = tags["fold"]
    if parts.supervised:
        tags[SUPERVISED] = "true"
    return {**tags, **changed, "category": config.category, "fold": parts.fold.label}


def changed_values(config: DictConfig, choices: Mapping[str, str]) -> dict[str, str]:
    """Return the values that are not those of their group's chosen file, by dotted key.

    Args:
        config: the run's.
        choices: by group.
    """
    usual = _read_choice("config")
    changed = {key: str(config[key]) for key in VALUES if config[key] != usual[key]}
    for group in choices.keys() - set(BESIDE):
        chosen = dict(leaves(_resolved(config, _chosen_values(group, choices[group]))))
        actual = dict(leaves(OmegaConf.to_container(config[group], resolve=True)))
        changed |= {
            f"{group}.{key}": str(value)
            for key, value in actual.items()
            if key in chosen and chosen[key] != value
        }
    return dict(sorted(changed.items()))


def _resolved(config: DictConfig, values: dict[str, Any]) -> Any:  # noqa: ANN401 - nested
    """Return a group's values, with what they refer to elsewhere in the config."""
    if "${" not in str(values):
        return values
    return OmegaConf.to_container(OmegaConf.create(values, parent=config), resolve=True)


def _chosen_values(group: str, choice: str) -> dict[str, Any]:
    """Return what a choice's file says, with those that it builds upon."""
    own = cast("dict[str, Any]", OmegaConf.to_container(_read_choice(f"{group}/{choice}")))
    bases = own.pop("defaults", [])
    if "_self_" not in bases:
        bases.append("_self_")
    values: dict[str, Any] = {}
    for base in bases:
        values |= own if base == "_self_" else _chosen_values(group, str(base))
    return values


def _read_choice(name: str) -> DictConfig:
    """Read a file of conf/, or of the folder of choices that the command line names."""
    sources = [config_folder().as_uri()]
    if HydraConfig.initialized():
        sources += [source.path for source in HydraConfig.get().runtime.config_sources]
    for folder in sources:
        file = Path(folder.removeprefix("file://")) / f"{name}.yaml"
        if file.is_file():
            return _read_yaml(file)
    return OmegaConf.create()


@cache
def _read_yaml(file: Path) -> DictConfig:
    """Read a file once for all jobs of this process, of whose time it would be a tenth."""
    return cast("DictConfig", OmegaConf.load(file))


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
    own = f"dataset.categories.{config.category}."
    return {
        key: value
        for key, value in pairs.items()
        if not key.startswith("dataset.categories.") or key.startswith(own)
    }


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
    if isinstance(parts.explanation, PixelExplanation):
        facts["explanation"] = _told(config.explanation)
    metrics = _told(config.metrics)
    if metrics.keys() != {TARGET}:
        facts["metrics"] = metrics
    if not isinstance(parts.selection, NoSelection):
        facts["selection"] = _told(config.selection)
    if cross := parts.cross_fits(catalog, splits):
        facts["held_out_in_turn"] = [split.validation.tolist() for split in cross]
    if isinstance(parts.detector, ImageDetector) and parts.detector.needs_smallest_defect:
        facts["smallest_defect"] = category.smallest_defect
    if isinstance(parts.detector, PatchDetector):
        facts["maps"] = parts.maps.precision
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
    defaults = {field.name: _default(field) for field in fields(own)} if is_dataclass(own) else {}
    return {
        key: _without_defaults(value)
        for key, value in node.items()
        if key not in defaults or defaults[key] != value
    }


def _default(field: Field[Any]) -> Any:  # noqa: ANN401 - any value
    return field.default if field.default_factory is MISSING else field.default_factory()


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
        "lightning": isinstance(parts.detector, ImageDetector),
        "openvino": features["runtime"].get("runtime") == "openvino",
    }
    known = versions()
    return {name: known.get(f"version.{name}", "") for name, is_used in used.items() if is_used}


def _masks(parts: Parts, catalog: pd.DataFrame, source: FeatureSource) -> list[list[str]]:
    """Return the digests of each image's masks, where they are measured against."""
    detector, localises = parts.detector, not isinstance(parts.localisation, NoLocalisation)
    if isinstance(detector, ImageDetector):
        localises = detector.localises
    explains = isinstance(parts.explanation, PixelExplanation)
    if not (localises or explains or isinstance(detector, PatchDetector)):
        return []
    masks = [list(map(str, mask_files(mask))) if mask else [] for mask in catalog["mask"]]
    files = [file for of_image in masks for file in of_image]
    digests = dict(zip(files, source.fingerprint(files).digests, strict=True)) if files else {}
    return [[digests[file] for file in of_image] for of_image in masks]
