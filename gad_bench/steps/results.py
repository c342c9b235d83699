"""What a run came to: its metrics, its files and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.files import write_text
from gad_bench.base.process import device_name
from gad_bench.base.run_folder import (
    CONFIG,
    DEVICE,
    EXAMPLES,
    METRICS,
    MISSED,
    RESAMPLES,
    SCORES,
)
from gad_bench.data.catalog import Dataset
from gad_bench.data.fingerprint import common_folder
from gad_bench.data.split import Rows, Split
from gad_bench.evaluation import (
    Scores,
    average_folds,
    evaluate,
    evaluate_folds,
    held_out_as_tested,
    working_points,
)
from gad_bench.evaluation.kept_resamples import write_resamples
from gad_bench.evaluation.working_points import WorkingPoints
from gad_bench.features.store import StoredFeatures
from gad_bench.patches.examples import examples_of, write_examples
from gad_bench.patches.heat_maps import Map
from gad_bench.steps.attribution import Attributed
from gad_bench.steps.ending import Draw
from gad_bench.steps.evidence import Evidence, Stored
from gad_bench.steps.localising import Localised
from gad_bench.steps.parts import SUPERVISED, Parts
from gad_bench.steps.selecting import PaintedCopies
from gad_bench.tracking import DatasetInput
from gad_bench.trained.schedule import Curves

EPOCHS = "epochs"  # a metric of what was trained


def scores_table(tested: pd.DataFrame, scores: Scores, maxima: Map | None = None) -> pd.DataFrame:
    """Return a row per test image: path, label, defect, a column per block, score and p_value.

    Args:
        tested: the images.
        scores: theirs.
        maxima: the highest distance of each one's heat map [images], where there are any: they
            are in the column heat_maximum.
    """
    columns: dict[str, Any] = dict(tested[["path", "label", "defect"]].reset_index(drop=True))
    columns |= {f"block_{block}": values for block, values in scores.blocks.items()}
    columns["score"] = scores.combined
    if scores.p_values is not None:
        columns["p_value"] = scores.p_values
    if maxima is not None:
        columns["heat_maximum"] = maxima
    return pd.DataFrame(columns)


def _folds_table(
    tested: Sequence[pd.DataFrame], folds: Sequence[Scores], localised: Localised | None
) -> pd.DataFrame:
    """Put several folds' tables one below the other, with a column that numbers the fold."""
    maxima = localised.maxima if localised else [None] * len(folds)
    tables = [scores_table(*fold) for fold in zip(tested, folds, maxima, strict=True)]
    if len(tables) == 1:
        return tables[0]
    return pd.concat([table.assign(fold=number) for number, table in enumerate(tables)])


def write_missed(output: Path, scores: pd.DataFrame, flagged: NDArray[np.bool_]) -> None:
    """Write missed.csv: the anomalous images that are not flagged, lowest score first.

    Args:
        output: the folder.
        scores: a row per image, as `scores_table` returns them.
        flagged: [images], whether an image is called anomalous.
    """
    missed = scores[(scores["label"] == 1).to_numpy() & ~flagged]
    columns = [name for name in ("path", "defect", "score", "p_value") if name in missed]
    ranked = missed[columns].sort_values("score", kind="stable")
    write_text(output / MISSED, ranked.to_csv(index=False))


def write_scores(
    output: Path,
    config: DictConfig,
    tested: Sequence[pd.DataFrame],
    folds: Sequence[Scores],
    localised: Localised | None,
) -> None:
    """Write config.yaml and scores.csv."""
    write_text(output / CONFIG, OmegaConf.to_yaml(config, resolve=True))
    write_text(output / SCORES, _folds_table(tested, folds, localised).to_csv(index=False))


def write_metrics(output: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics.json, the last of a run's files: where it is, the run has finished."""
    write_text(output / METRICS, json.dumps(metrics, indent=1) + "\n")


def scored_images(
    dataset: Dataset,
    category: str,
    catalog: pd.DataFrame,
    stored: Stored,
) -> DatasetInput:
    """Return what the tracking store is told of a catalog's images."""
    return DatasetInput(
        name=f"{dataset.name}/{category}",
        source=common_folder(catalog["path"]),
        digest=stored.images_digest,
    )


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
        curves: how the folds' networks were trained, where there are any.
        seconds_fit: what fitting and scoring took.
        cost: what the detector costs, by metric; empty where that was not measured.
        copies: painted, of good images held out, where that is asked for.
        synthetic: how well they are told from those images, by metric.
    """

    name: str
    config: DictConfig
    parts: Parts
    catalog: pd.DataFrame
    splits: Sequence[Split]
    evidence: Evidence
    model: Any
    scores: Sequence[Scores]
    calibrating: Sequence[Scores]
    localised: Localised | None
    attributed: Attributed | None
    curves: Sequence[Curves]
    seconds_fit: float
    cost: Mapping[str, float]
    copies: PaintedCopies | None
    synthetic: Mapping[str, float]

    @property
    def images(self) -> DatasetInput:
        """The images, for the tracking store."""
        stored = self.evidence.stored
        return scored_images(self.parts.dataset, self.config.category, self.catalog, stored)

    def measure(self, output: Path) -> dict[str, Any]:
        """Write config.yaml, scores.csv and, of a threshold, missed.csv; return the metrics."""
        points = self._points
        metrics = {
            **evaluate_folds(self.scores, seed=self.config.seed, definitions=self.parts.metrics),
            **self._facts(),
            **(self.localised.metrics if self.localised else {}),
            **self._attribution_metrics(),
            **self.cost,
            **self.synthetic,
            **points.metrics,
        }
        tables = [self.catalog.iloc[rows] for rows in self._tested]
        if self.cost:
            write_text(output / DEVICE, device_name(self.config.device) + "\n")
        if "tpr_conformal" in metrics:
            scores, rows = self._shown
            flagged = np.asarray(scores.p_values) <= metrics["fpr_used"]
            write_missed(output, scores_table(self.catalog.iloc[rows], scores), flagged)
        write_scores(output, self.config, tables, points.scores, self.localised)
        if self.localised and not self.scores[0].lacking:
            write_examples(output / EXAMPLES, examples_of(self.localised.maps))
        if self.localised and self.localised.resamples:
            write_resamples(output / RESAMPLES, self.localised.resamples)
        return metrics

    def draw_evidence(self, output: Path) -> None:
        """Draw what takes features or maps, where it is wanted: embedding, heat maps, explanation.

        The files' names say where labels were learned from.
        """
        if not self.config.figures:
            return
        from gad_bench.figures.run_figures import add_prefix

        self._draw_evidence(output)
        add_prefix(output, self._prefix)

    def figures(self, output: Path, metrics: Mapping[str, Any]) -> Draw | None:
        """Return what draws the other figures, if they are wanted.

        Those of several folds show the images' mean scores. Without test images they show the good
        images held out.

        Args:
            output: the folder.
            metrics: as `measure` returns them; they are those of the only fold's scores.
        """
        if not self.config.figures:
            return None
        from gad_bench.figures.run_figures import RunFigures

        (scores, rows), images = self._shown, "test images"
        if not len(rows):
            held_out = held_out_as_tested(self.calibrating or self.scores)
            if held_out is None:
                return None
            (scores, rows), images = held_out, "good images held out"
        elif len(self.scores) > 1:
            metrics = self._points.metrics | evaluate(
                scores, seed=self.config.seed, definitions=self.parts.metrics
            )
        return RunFigures(
            output=output,
            name=self.name,
            images=images,
            catalog=self.catalog.iloc[rows],
            scores=scores,
            metrics=metrics,
            threshold=self.parts.threshold,
            folds=self.scores,
            tested=self._tested,
            calibrating=self.calibrating,
            prefix=self._prefix,
        ).draw

    def _draw_evidence(self, output: Path) -> None:
        from gad_bench.figures.run_figures import draw_training

        if self.curves:
            best = [fold.best_epoch for fold in self.curves]
            draw_training(output, [fold.values for fold in self.curves], best, self.name)
        if self.copies:
            from gad_bench.figures.painted import draw_painted

            draw_painted(output, self.copies.painter, self.copies.originals, self.name)
        (scores, rows), stored = self._shown, self.evidence.stored
        if isinstance(stored, StoredFeatures):
            self.parts.embedding.draw(output, self.catalog, stored.blocks, self.name)
        if scores.lacking:
            return
        pictured = {
            "localisation.png": (self.localised, "score of a place"),
            "pixels.png": (self.attributed, "what a pixel adds"),
        }
        for file, (found, measure) in pictured.items():
            if found:
                from gad_bench.figures.heat_maps import draw_localisation

                maps, worth = found.maps, found.metrics
                draw_localisation(output / file, maps, scores, worth, self.name, measure)
        self.evidence.draw(output, self.model, rows, scores, self.name)

    @property
    def _prefix(self) -> str:
        """What the names of the figures begin with."""
        return f"{SUPERVISED}_" if self.parts.supervised else ""

    @cached_property
    def _shown(self) -> tuple[Scores, Rows]:
        return average_folds(self._points.scores, self._tested)

    def _attribution_metrics(self) -> dict[str, float]:
        found = self.attributed.metrics if self.attributed else {}
        return {f"attribution_{name}": value for name, value in found.items()}

    @cached_property
    def _points(self) -> WorkingPoints:
        return working_points(self.parts.threshold, self.scores, self._tested, self.calibrating)

    @property
    def named_curves(self) -> dict[str, Sequence[float]]:
        """A value an epoch by name, which ends in the fold's number where there are several."""
        several = len(self.curves) > 1
        return {
            f"{name}_fold_{number}" if several else name: values
            for number, curves in enumerate(self.curves)
            for name, values in curves.values.items()
        }

    @property
    def _tested(self) -> list[Rows]:
        return [split.test for split in self.splits]

    def _facts(self) -> dict[str, Any]:
        return {
            "images_train": int(np.median([len(split.train) for split in self.splits])),
            "images_test": int(np.median([len(split.test) for split in self.splits])),
            "seconds_extract": self.evidence.seconds_extract,
            **_speed(self.evidence.stored.images_per_second),
            **_length(self.curves),
            "seconds_fit": self.seconds_fit,
            "cache_hit": self.evidence.cache_hit,
            **({SUPERVISED: True} if self.parts.supervised else {}),
        }


def _speed(images_per_second: float | None) -> dict[str, float]:
    return {} if images_per_second is None else {"images_per_second_extract": images_per_second}


def _length(curves: Sequence[Curves]) -> dict[str, float]:
    """Return how long networks were trained, means over the folds."""
    if not curves:
        return {}
    lengths = [len(fold.values["training_loss"]) for fold in curves]
    best = [fold.best_epoch for fold in curves]
    return {EPOCHS: float(np.mean(lengths)), "best_epoch": float(np.mean(best))}
