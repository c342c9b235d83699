"""What a run's result depends on, as one digest: two runs of the same key are the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import Any

import pandas as pd
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from gad_bench.canonical import json_digest
from gad_bench.components import Components
from gad_bench.config import TARGET
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.images import mask_files
from gad_bench.features.obtain import FeatureSource
from gad_bench.localisation import NoLocalisation
from gad_bench.split import Split

MODEL = (
    *("normalisation", "reduction", "covariance", "detector"),
    *("combination", "localisation", "threshold"),
)


def result_key(
    config: DictConfig,
    parts: Components,
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
        "model": {group: _told(config[group]) for group in MODEL},
        "seed": config.seed,
    }
    metrics = _told(config.metrics)
    if metrics.keys() != {TARGET}:
        facts["metrics"] = metrics
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


def _masks(parts: Components, catalog: pd.DataFrame, source: FeatureSource) -> list[list[str]]:
    """Return the digests of each image's masks, where they are measured against."""
    if isinstance(parts.localisation, NoLocalisation):
        return []
    masks = [list(map(str, mask_files(mask))) if mask else [] for mask in catalog["mask"]]
    files = [file for of_image in masks for file in of_image]
    digests = dict(zip(files, source.fingerprint(files).digests, strict=True)) if files else {}
    return [[digests[file] for file in of_image] for of_image in masks]
