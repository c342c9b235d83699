"""A run's last words: what was found, what it costs, what was missed, and where it all is."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gad_bench.base.files import write_text
from gad_bench.base.process import Stopwatch
from gad_bench.base.run_folder import MISSED, RESTORED, read_metrics
from gad_bench.evaluation import Scores
from gad_bench.evaluation.scores import DETECTED
from gad_bench.steps.advice import advise_on_auroc
from gad_bench.steps.results import EPOCHS

RATE, ENDS = "%.1f %% [%.1f, %.1f]", ("", "_ci_low", "_ci_high")
NAMED = 5  # missed images that are named

log = logging.getLogger(__name__)


def announce(name: str, metrics: Mapping[str, Any], scores: Scores) -> None:
    """Tell what was found, in one line, or what could not be measured.

    Args:
        name: the run's.
        metrics: its metrics.
        scores: of its test images.
    """
    if "auroc" not in metrics:
        log.info("%s: %s", name, _unmeasured(scores))
        return
    blocks = {key: value for key, value in metrics.items() if key.startswith("auroc_block_")}
    keys = ("auroc", "auroc_ci_low", "auroc_ci_high")
    told = "{}: AUROC {:.1f} % [{:.1f}, {:.1f}]".format(name, *(100 * metrics[k] for k in keys))
    if blocks:
        best = max(blocks, key=lambda key: float(blocks[key]))
        block = best.removeprefix("auroc_block_")
        told += f", best block on this test set: {block}, {100 * blocks[best]:.1f} %"
    log.info("%s", told)
    _announce_heat_maps(metrics)
    advise_on_auroc(metrics["auroc_ci_high"])


def _announce_heat_maps(metrics: Mapping[str, Any]) -> None:
    """Tell what the heat maps are worth: by pixel where there are masks, and by image."""
    told = [
        f"{words} {100 * metrics[key]:.1f} %"
        for key, words in (
            ("pixel_auroc", "AUROC of pixels"),
            ("aupro", "AUPRO"),
            ("auroc_heat_maximum", "AUROC of images by their map's maximum"),
        )
        if key in metrics
    ]
    if told:
        log.info("heat maps: %s", ", ".join(told))


def _unmeasured(scores: Scores) -> str:
    if len(scores.lacking) > 1:
        return "no test images, so nothing is measured; a threshold is by good images held out"
    (kind,) = scores.lacking
    share = {"anomalous": "the share of defects found", "good": "the false positive rate"}[kind]
    return f"no {kind} test images, so AUROC, average precision and {share} are not measured"


def announce_restored(name: str, output: Path) -> Mapping[str, Any]:
    """Tell that a run had finished earlier, and return its metrics."""
    write_text(output / RESTORED, "")
    metrics = read_metrics(output)
    auroc = float(metrics.get("auroc", "nan"))
    known = "" if math.isnan(auroc) else f", AUROC {100 * auroc:.1f} %"
    log.info("%s: done already%s", name, known)
    return metrics


def point_the_way(
    output: Path,
    store: Path,
    metrics: Mapping[str, Any],
    watch: Stopwatch,
    viewer: str | None,
) -> None:
    """Tell of false alarms, where time went, where the files are, and what opens the tracking."""
    _announce_price(metrics)
    _announce_rates(metrics)
    _announce_missed(output / MISSED)
    what, made = ("network", "trained") if EPOCHS in metrics else ("features", "extracted")
    source = "read from" if metrics["cache_hit"] else f"{made} into"
    log.info("time: %s", watch)
    log.info("%s %s %s", what, source, store)
    log.info("scores, metrics and figures: %s", output)
    if viewer:
        log.info("compare runs: %s", viewer)


def _announce_price(metrics: Mapping[str, Any]) -> None:
    """Tell how many good images are flagged where nearly all anomalous ones are found."""
    price = {percent: f"fpr_at_tpr_{percent}" for percent in DETECTED}
    if metrics.keys() >= set(price.values()):
        told = (f"{100 * metrics[key]:.1f} % to find {percent} %" for percent, key in price.items())
        log.info("false alarms on this test set: %s of the defects", ", ".join(told))


def _announce_rates(metrics: Mapping[str, Any]) -> None:
    """Tell what a wanted false positive rate, or a saved detector's own threshold, came to."""
    if promised := _measured(metrics, "conformal"):
        log.info("threshold for %.3g %% false alarms: %s", 100 * metrics["fpr_used"], promised)
    if decided := _measured(metrics, "detector"):
        log.info("the detector's own threshold: %s", decided)


def _measured(metrics: Mapping[str, Any], by: str) -> str:
    """Return in words which shares of the test images a threshold flags, as far as measured."""
    return ", ".join(
        (RATE % tuple(100 * metrics[f"{rate}_{by}{end}"] for end in ENDS)) + f" of the {kind}"
        for rate, kind in (("fpr", "good test images flagged"), ("tpr", "anomalous"))
        if f"{rate}_{by}" in metrics
    )


def _announce_missed(file: Path) -> None:
    """Name the first of the anomalous images that are not flagged."""
    missed = list(pd.read_csv(file)["path"]) if file.is_file() else []
    if missed:
        named = ", ".join("/".join(Path(path).parts[-2:]) for path in missed[:NAMED])
        more = f" and {len(missed) - NAMED} more" if len(missed) > NAMED else ""
        log.info("anomalous images not flagged: %s%s (%s)", named, more, file.name)
