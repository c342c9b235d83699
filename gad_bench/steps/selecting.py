"""How well a detector tells good images held out from copies of them with painted defects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.painting import NoSelection, Selection
from gad_bench.data.split import Rows, Split
from gad_bench.evaluation import Scores
from gad_bench.evaluation.intervals import Matrix, resampled_auroc_of_copies, with_intervals
from gad_bench.evaluation.metrics import auroc
from gad_bench.features.extraction import extract
from gad_bench.features.interface import Pixels
from gad_bench.features.maps import maps_work
from gad_bench.features.source import FeatureSource
from gad_bench.features.store import StoredFeatures
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.statistics import Vector
from gad_bench.patches import FittedPatchDetector
from gad_bench.steps.evidence import Model
from gad_bench.steps.parts import Parts
from gad_bench.steps.scoring import score_rows

SYNTHETIC = "auroc_synthetic"


class Beside(NamedTuple):
    """The scores of a fold's good images that it holds out, and of their painted copies.

    Attributes:
        good: [images].
        painted: [images, copies].
    """

    good: Vector
    painted: Matrix


@dataclass(frozen=True)
class PaintedCopies:
    """The painted copies of the good images that the folds hold out.

    Attributes:
        config: the run's.
        parts: its parts.
        painter: what paints.
        held_out: the images' rows in the catalog, rising.
        source: of features.
        images: all of the catalog's.
    """

    config: DictConfig
    parts: Parts
    painter: Selection
    held_out: Rows
    source: FeatureSource
    images: Fingerprint

    def score(self, model: Model, split: Split, scores: Scores) -> Beside:
        """Score a fold's copies.

        Args:
            model: what the fold was fitted to.
            split: the fold.
            scores: its scores, those of the images held out among them.
        """
        own = scores.held_out
        assert own is not None
        rows = np.intersect1d(self.held_out, split.validation)
        return Beside(own.combined[np.isin(own.images, rows)], self._scores(model, rows))

    def measure(self, folds: Sequence[Beside], seed: int) -> dict[str, float]:
        """Return the mean of the folds' AUROCs over all copies, and over those of each recipe.

        Each with its interval by bootstrap over the images. The folds hold others out and are
        resampled each by itself, so that it is the mean's.

        Args:
            folds: their scores.
            seed: of the bootstrap.
        """
        painter = self.painter
        recipes = np.array([painter.recipe(number) for number in range(painter.passes)])
        chosen = {SYNTHETIC: np.ones(len(recipes), np.bool_)}
        chosen |= {f"{SYNTHETIC}_{recipe}": recipes == recipe for recipe in painter.recipes}
        points, drawn = dict[str, float](), dict[str, Vector]()
        for name, copies in chosen.items():
            pairs = [(fold.good, fold.painted[:, copies]) for fold in folds]
            generators = np.random.default_rng(seed).spawn(len(pairs))
            points[name] = float(np.mean([_auroc(*pair) for pair in pairs]))
            areas = [
                resampled_auroc_of_copies(*pair, own)
                for pair, own in zip(pairs, generators, strict=True)
            ]
            drawn[name] = np.mean(areas, axis=0)
        return with_intervals(points, drawn)

    @property
    def originals(self) -> list[tuple[str, str, Callable[[], Pixels]]]:
        """Of each of the images its path, its digest and what reads it."""
        paths, digests = self.images.paths, self.images.digests
        reader = self.source.reader(self.images)
        return [(paths[row], digests[row], reader(row)) for row in self.held_out]

    def _scores(self, model: Model, rows: Rows) -> Matrix:
        """Return the scores of some images' copies [images, copies]."""
        passes = self.painter.passes
        if isinstance(model, FittedModel):
            first = passes * np.searchsorted(self.held_out, rows)
            copies = (first[:, None] + np.arange(passes)).ravel()
            return score_rows(model, self._features.blocks, copies)[1].reshape(-1, passes)
        return self._score_maps(model, rows).reshape(-1, passes)

    @cached_property
    def _features(self) -> StoredFeatures:
        paths = [self.images.paths[row] for row in self.held_out]
        limits = self.parts.dataset.facts(self.config.category)
        return self.source.augmented(paths, self.painter, limits)

    def _score_maps(self, model: FittedPatchDetector, rows: Rows) -> Vector:
        """Score copies whose maps are kept nowhere."""
        blocks, storage = model.embedding.blocks, self.parts.maps
        readers = [
            partial(self._paint, row, number)
            for row in rows
            for number in range(self.painter.passes)
        ]
        found = []
        for batch in extract(readers, maps_work(self.source.encoder, blocks)):
            rounded = [storage.rounded(*pair) for pair in zip(batch, blocks, strict=True)]
            with one_thread():
                found.append(model.score(dict(zip(blocks, rounded, strict=True))).images)
        return np.concatenate(found)

    def _paint(self, row: int, number: int) -> Pixels:
        image = self.source.reader(self.images)(row)()
        limits = self.parts.dataset.facts(self.config.category)
        return self.painter.augment(image, self.images.digests[row], number, limits)


def paint_copies(
    config: DictConfig,
    parts: Parts,
    catalog: pd.DataFrame,
    splits: Sequence[Split],
    source: FeatureSource,
    images: Fingerprint,
) -> PaintedCopies | None:
    """Return the copies that the run's selection asks for, if any, extracted when they are scored.

    Raises:
        UserError: a fold holds no good image out.
    """
    painter = parts.selection
    if isinstance(painter, NoSelection):
        return None
    good = np.flatnonzero(catalog["label"] == 0)
    held_out = [np.intersect1d(split.validation, good) for split in splits]
    if not all(map(len, held_out)):
        raise UserError(
            "selection=synthetic paints good images that are held out, and this fold holds none "
            "out: use fold=kfold or fold=cross"
        )
    rows = np.unique(np.concatenate(held_out))
    return PaintedCopies(config, parts, painter, rows, source, images)


def _auroc(good: Vector, painted: Matrix) -> float:
    labels = np.repeat([0, 1], [len(good), painted.size])
    return auroc(labels, np.concatenate([good, painted.ravel()]))
