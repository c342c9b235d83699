"""The files that a run leaves, and its last words."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from gad_bench.evaluation import Scores
from gad_bench.files import write_text
from gad_bench.stopwatch import Stopwatch

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
RESTORED_FILE = "restored"  # marks the folder of a run whose files come from an earlier one


def scores_table(tested: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """Return a row per test image: path, label, defect, a column per block, score and p_value."""
    table = tested[["path", "label", "defect"]].reset_index(drop=True)
    for block, values in scores.blocks.items():
        table[f"block_{block}"] = values
    table["score"] = scores.combined
    return table if scores.p_values is None else table.assign(p_value=scores.p_values)


def _folds_table(tested: Sequence[pd.DataFrame], folds: Sequence[Scores]) -> pd.DataFrame:
    """Put several folds' tables one below the other, with a column that numbers the fold."""
    tables = [scores_table(*fold) for fold in zip(tested, folds, strict=True)]
    if len(tables) == 1:
        return tables[0]
    return pd.concat([table.assign(fold=number) for number, table in enumerate(tables)])


def write_results(
    output: Path,
    config: DictConfig,
    tested: Sequence[pd.DataFrame],
    folds: Sequence[Scores],
    metrics: Mapping[str, Any],
) -> None:
    """Write config.yaml, scores.csv and, last, metrics.json: where it is, the run has finished."""
    write_text(output / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    write_text(output / "scores.csv", _folds_table(tested, folds).to_csv(index=False))
    write_text(output / METRICS_FILE, json.dumps(metrics, indent=1) + "\n")


def announce(name: str, metrics: Mapping[str, Any]) -> None:
    """Tell what was found, in one line."""
    blocks = {key: value for key, value in metrics.items() if key.startswith("auroc_block_")}
    best = max(blocks, key=lambda key: float(blocks[key]))
    log.info(
        "%s: AUROC %.1f %% [%.1f, %.1f], best block %s %.1f %%",
        name,
        100 * metrics["auroc"],
        100 * metrics["auroc_ci_low"],
        100 * metrics["auroc_ci_high"],
        best.removeprefix("auroc_block_"),
        100 * blocks[best],
    )


def announce_restored(name: str, output: Path) -> float:
    """Tell that a run had finished earlier, and return its AUROC."""
    write_text(output / RESTORED_FILE, "")
    metrics = json.loads((output / METRICS_FILE).read_text(encoding="utf-8"))
    log.info("%s: done already, AUROC %.1f %%", name, 100 * metrics["auroc"])
    return float(metrics["auroc"])


def point_the_way(
    output: Path,
    store: Path,
    metrics: Mapping[str, Any],
    watch: Stopwatch,
    viewer: str | None,
) -> None:
    """Tell of false alarms, where time went, where the files are, and what opens the tracking."""
    _announce_rates(metrics)
    source = "read from" if metrics["cache_hit"] else "extracted into"
    log.info("time: %s", watch)
    log.info("features %s %s", source, store)
    log.info("scores, metrics and figures: %s", output)
    if viewer:
        log.info("compare runs: %s", viewer)


def _announce_rates(metrics: Mapping[str, Any]) -> None:
    """Tell what the wanted false positive rate came to, where images were held out for it."""
    if "fpr_conformal" not in metrics:
        return
    log.info(
        "threshold for %g %% false alarms: %.1f %% [%.1f, %.1f] of the good test images flagged, "
        "%.1f %% [%.1f, %.1f] of the anomalous",
        100 * metrics["fpr_wanted"],
        *(
            100 * metrics[f"{rate}_conformal{end}"]
            for rate in ("fpr", "tpr")
            for end in ("", "_ci_low", "_ci_high")
        ),
    )
