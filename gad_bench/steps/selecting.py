"""How well a detector tells good images held out from copies of them with painted defects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.painting import NoSelection, Selection
from gad_bench.data.split import Rows, Split
from gad_bench.evaluation import Scores
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

    def aurocs(self, model: Model, split: Split, scores: Scores) -> dict[str, float]:
        """Return a fold's AUROC over all copies, and over those of each recipe.

        Args:
            model: what the fold was fitted to.
            split: the fold.
            scores: its scores, those of the images held out among them.
        """
        painter, own = self.painter, scores.held_out
        assert own is not None
        rows = np.intersect1d(self.held_out, split.validation)
        good = own.combined[np.isin(own.images, rows)]
        painted = self._scores(model, rows)
        recipes = np.array([painter.recipe(number) for number in range(painter.passes)])
        found = {SYNTHETIC: _auroc(good, painted.ravel())}
        for recipe in painter.recipes:
            found[f"{SYNTHETIC}_{recipe}"] = _auroc(good, painted[:, recipes == recipe].ravel())
        return found

    @property
    def originals(self) -> list[tuple[str, str, Callable[[], Pixels]]]:
        """Of each of the images its path, its digest and what reads it."""
        paths, digests = self.images.paths, self.images.digests
        reader = self.source.reader(self.images)
        return [(paths[row], digests[row], reader(row)) for row in self.held_out]

    def _scores(self, model: Model, rows: Rows) -> Vector:
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


def mean_of_folds(folds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the folds' means, none of no folds."""
    names = folds[0] if folds else ()
    return {name: float(np.mean([fold[name] for fold in folds])) for name in names}


def _auroc(good: Vector, painted: Vector) -> float:
    labels = np.repeat([0, 1], [len(good), len(painted)])
    return auroc(labels, np.concatenate([good, painted]))
