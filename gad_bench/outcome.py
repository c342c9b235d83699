"""What a run came to: its metrics, its files and its figures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gad_bench.components import Components
from gad_bench.evaluation import Scores, average_folds, evaluate, evaluate_folds, working_points
from gad_bench.features.store import StoredFeatures
from gad_bench.figures import draw_calibration, draw_figures
from gad_bench.gaussian.model import FittedModel
from gad_bench.localisation_figure import draw_localisation
from gad_bench.localise import Localised
from gad_bench.results import write_results
from gad_bench.split import Rows, Split
from gad_bench.tracking import DatasetInput
from gad_bench.training import Training


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything that a run found.

    Attributes:
        config: the composed config.
        parts: its components.
        catalog: the category's images.
        splits: one a fold.
        features: of all images.
        training: the vectors that were fitted.
        model: what the last fold, or the only one, was fitted to.
        scores: of the test images, one a fold.
        localised: the test images' heat maps, None without localisation.
        seconds_fit: what fitting and scoring took.
    """

    config: DictConfig
    parts: Components
    catalog: pd.DataFrame
    splits: Sequence[Split]
    features: StoredFeatures
    training: Training
    model: FittedModel
    scores: Sequence[Scores]
    localised: Localised | None
    seconds_fit: float

    @property
    def images(self) -> DatasetInput:
        """The images, for the tracking store."""
        return DatasetInput(
            name=f"{self.parts.dataset.name}/{self.config.category}",
            source=os.path.commonpath(list(self.catalog["path"])),
            digest=self.features.images_digest,
        )

    def write(self, output: Path) -> dict[str, Any]:
        """Write config.yaml, scores.csv and metrics.json; return the metrics."""
        points = working_points(self.parts.threshold, self.scores, self._tested)
        metrics = {
            **evaluate_folds(self.scores, seed=self.config.seed, definitions=self.parts.metrics),
            **self._facts(),
            **(self.localised.metrics if self.localised else {}),
            **points.metrics,
        }
        tables = [self.catalog.iloc[rows] for rows in self._tested]
        write_results(output, self.config, tables, points.scores, metrics)
        return metrics

    def draw(self, output: Path, metrics: Mapping[str, Any]) -> None:
        """Draw the figures that are wanted; those of several folds show the images' mean scores.

        Args:
            output: the folder.
            metrics: as `write` returns them; they are those of the only fold's scores.
        """
        if not self.config.figures:
            return
        shown, rows = average_folds(self.scores, self._tested)
        tested = self.catalog.iloc[rows]
        if len(self.scores) > 1:
            metrics = evaluate(shown, seed=self.config.seed, definitions=self.parts.metrics)
        draw_figures(output, tested, shown, metrics)
        draw_calibration(output, self.parts.threshold, self.scores, self._tested)
        if self.localised:
            draw_localisation(output, self.localised, shown)
        blocks = self.features.blocks
        self.parts.explanation.draw(output, tested, blocks, rows, shown, self.model.blocks)

    @property
    def _tested(self) -> list[Rows]:
        return [split.test for split in self.splits]

    def _facts(self) -> dict[str, Any]:
        return {
            "images_train": int(np.median([len(split.train) for split in self.splits])),
            "images_test": int(np.median([len(split.test) for split in self.splits])),
            "seconds_extract": self.features.seconds_extract + self.training.seconds_extract,
            "seconds_fit": self.seconds_fit,
            "cache_hit": self.features.cache_hit and self.training.cache_hit,
        }
