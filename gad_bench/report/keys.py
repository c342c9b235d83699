"""The keys of a run, from its config and the choices that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gad_bench.report.runs import flatten


def run_keys(config: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, str]:
    """Return a run's keys, as `Run` describes them.

    Args:
        config: the run's config, nested.
        choices: the choice in each group, as `hydra.runtime.choices` lists them.
    """
    keys = dict(flatten(config))
    keys |= {group: str(choice) for group, choice in choices.items() if "hydra/" not in group}
    keys["fold"] = keys.get("fold.index", keys["fold"])
    if keys["backbone"] == "timm":
        keys["backbone"] = keys["backbone.name"]
    return keys
