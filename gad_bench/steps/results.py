"""What a run came to: its metrics, its files, its figures and its last words."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.files import write_text
from gad_bench.base.process import Stopwatch
from gad_bench.base.run_folder import CONFIG, METRICS, RESTORED, SCORES, read_metrics
from gad_bench.data.catalog import Dataset
from gad_bench.data.split import Rows, Split
from gad_bench.evaluation import (
    Scores,
    average_folds,
    evaluate,
    evaluate_folds,
    held_out_as_tested,
    working_points,
)
from gad_bench.features.maps import ObtainedMaps
from gad_bench.features.store import StoredFeatures
from gad_bench.gaussian.model import FittedModel
from gad_bench.steps.advice import advise_on_auroc
from gad_bench.steps.attribution import Attributed, PixelExplanation
from gad_bench.steps.evidence import Evidence, Model
from gad_bench.steps.localising import Localised
from gad_bench.steps.parts import SUPERVISED, Parts
from gad_bench.tracking import DatasetInput

log = logging.getLogger(__name__)


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
    write_text(output / CONFIG, OmegaConf.to_yaml(config, resolve=True))
    write_text(output / SCORES, _folds_table(tested, folds).to_csv(index=False))
    write_text(output / METRICS, json.dumps(metrics, indent=1) + "\n")


def scored_images(
    dataset: Dataset,
    category: str,
    catalog: pd.DataFrame,
    features: StoredFeatures | ObtainedMaps,
) -> DatasetInput:
    """Return what the tracking store is told of a catalog's images."""
    return DatasetInput(
        name=f"{dataset.name}/{category}",
        source=os.path.commonpath(list(catalog["path"])),
        digest=features.images_digest,
    )


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
    if "pixel_auroc" in metrics:
        told += f", of pixels {100 * metrics['pixel_auroc']:.1f} %"
    log.info("%s", told)
    advise_on_auroc(metrics["auroc_ci_high"])


def _unmeasured(scores: Scores) -> str:
    if len(scores.lacking) > 1:
        return "no test images, so nothing is measured; a threshold is by good images held out"
    (kind,) = scores.lacking
    share = {"anomalous": "the share of defects found", "good": "the false positive rate"}[kind]
    return f"no {kind} test images, so AUROC, average precision and {share} are not measured"


def announce_restored(name: str, output: Path) -> float:
    """Tell that a run had finished earlier, and return its AUROC."""
    write_text(output / RESTORED, "")
    metrics = read_metrics(output)
    auroc = float(metrics.get("auroc", "nan"))
    known = "" if math.isnan(auroc) else f", AUROC {100 * auroc:.1f} %"
    log.info("%s: done already%s", name, known)
    return auroc


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
    measured = [
        (RATE % tuple(100 * metrics[f"{rate}_conformal{end}"] for end in ENDS)) + f" of the {kind}"
        for rate, kind in (("fpr", "good test images flagged"), ("tpr", "anomalous"))
        if f"{rate}_conformal" in metrics
    ]
    if measured:
        wanted = 100 * metrics["fpr_used"]
        log.info("threshold for %.3g %% false alarms: %s", wanted, ", ".join(measured))


RATE, ENDS = "%.1f %% [%.1f, %.1f]", ("", "_ci_low", "_ci_high")


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that a run found.

    Attributes:
        name: the run's.
        config: the composed config.
        parts: its parts.
        catalog: the category's images.
        splits: one a fold.
        evidence: the images' features.
        model: what the last fold, or the only one, was fitted to.
        scores: of the test images, one a fold.
        calibrating: of the same images by the fits that calibrate an only fold, which holds no
            image out; none where the folds do so themselves.
        localised: the test images' heat maps, None without localisation.
        attributed: their scores by pixels, None without that explanation.
        seconds_fit: what fitting and scoring took.
    """

    name: str
    config: DictConfig
    parts: Parts
    catalog: pd.DataFrame
    splits: Sequence[Split]
    evidence: Evidence
    model: Model
    scores: Sequence[Scores]
    calibrating: Sequence[Scores]
    localised: Localised | None
    attributed: Attributed | None
    seconds_fit: float

    @property
    def images(self) -> DatasetInput:
        """The images, for the tracking store."""
        stored = self.evidence.stored
        return scored_images(self.parts.dataset, self.config.category, self.catalog, stored)

    def write(self, output: Path) -> dict[str, Any]:
        """Write config.yaml, scores.csv and metrics.json; return the metrics."""
        points = working_points(self.parts.threshold, self.scores, self._tested, self.calibrating)
        metrics = {
            **evaluate_folds(self.scores, seed=self.config.seed, definitions=self.parts.metrics),
            **self._facts(),
            **(self.localised.metrics if self.localised else {}),
            **self._attribution_metrics(),
            **points.metrics,
        }
        tables = [self.catalog.iloc[rows] for rows in self._tested]
        write_results(output, self.config, tables, points.scores, metrics)
        return metrics

    def draw(self, output: Path, metrics: Mapping[str, Any]) -> None:
        """Draw the figures that are wanted; those of several folds show the images' mean scores.

        Without test images they show the good images held out. The files' names say where labels
        were learned from.

        Args:
            output: the folder.
            metrics: as `write` returns them; they are those of the only fold's scores.
        """
        if not self.config.figures:
            return
        self._draw(output, metrics)
        if self.parts.supervised:
            for figure in output.glob("*.png"):
                figure.rename(figure.with_name(f"{SUPERVISED}_{figure.name}"))

    def _draw(self, output: Path, metrics: Mapping[str, Any]) -> None:
        from gad_bench.figures.run_figures import draw_calibration, draw_figures

        stored = self.evidence.stored
        if isinstance(stored, StoredFeatures):
            self.parts.embedding.draw(output, self.catalog, stored.blocks, self.name)
        shown, rows = average_folds(self.scores, self._tested)
        if not len(rows):
            self._draw_held_out(output, metrics)
            return
        tested = self.catalog.iloc[rows]
        if len(self.scores) > 1:
            metrics = evaluate(shown, seed=self.config.seed, definitions=self.parts.metrics)
        draw_figures(output, tested, shown, metrics, self.name)
        draw_calibration(
            output, self.parts.threshold, self.scores, self._tested, self.name, self.calibrating
        )
        if shown.lacking:
            return
        pictured = {
            "localisation.png": (self.localised, "score"),
            "pixels.png": (self.attributed, "attribution"),
        }
        for file, (found, measure) in pictured.items():
            if found:
                from gad_bench.figures.heat_maps import draw_localisation

                draw_localisation(
                    output / file, found.maps, shown, found.metrics, self.name, measure
                )
        explanation = self.parts.explanation
        if isinstance(explanation, PixelExplanation):
            return
        if isinstance(stored, StoredFeatures) and isinstance(self.model, FittedModel):
            blocks, fitted = stored.blocks, self.model.blocks
            explanation.draw(output, tested, blocks, rows, shown, fitted, name=self.name)

    def _draw_held_out(self, output: Path, metrics: Mapping[str, Any]) -> None:
        from gad_bench.figures.run_figures import draw_figures

        if held_out := held_out_as_tested(self.calibrating or self.scores):
            scores, rows = held_out
            tested = self.catalog.iloc[rows]
            draw_figures(output, tested, scores, metrics, self.name, "good images held out")

    def _attribution_metrics(self) -> dict[str, float]:
        found = self.attributed.metrics if self.attributed else {}
        return {f"attribution_{name}": value for name, value in found.items()}

    @property
    def _tested(self) -> list[Rows]:
        return [split.test for split in self.splits]

    def _facts(self) -> dict[str, Any]:
        return {
            "images_train": int(np.median([len(split.train) for split in self.splits])),
            "images_test": int(np.median([len(split.test) for split in self.splits])),
            "seconds_extract": self.evidence.seconds_extract,
            **_speed(self.evidence.stored.images_per_second),
            "seconds_fit": self.seconds_fit,
            "cache_hit": self.evidence.cache_hit,
            **({SUPERVISED: True} if self.parts.supervised else {}),
        }


def _speed(images_per_second: float | None) -> dict[str, float]:
    return {} if images_per_second is None else {"images_per_second_extract": images_per_second}
