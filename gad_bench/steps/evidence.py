"""What a run's detector judges by: the images' vectors or, for one on patches, their maps."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread, thread_count
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.split import Split
from gad_bench.evaluation import Definitions, Scores
from gad_bench.features.interface import Size
from gad_bench.features.maps import MapRows, ObtainedMaps
from gad_bench.features.source import FeatureSource
from gad_bench.features.store import StoredFeatures
from gad_bench.gaussian import Detector, SupervisedDetector
from gad_bench.gaussian.model import FittedModel
from gad_bench.patches import FittedPatchDetector, PatchDetector, PatchScores
from gad_bench.patches.heat_maps import HeatMaps
from gad_bench.steps.localising import Localised, localise, measure_folds
from gad_bench.steps.parts import Parts
from gad_bench.steps.scoring import fit, parted_scores, score
from gad_bench.steps.training import Training, obtain_training

Model = FittedModel | FittedPatchDetector


class Outcome(NamedTuple):
    """A fold's scores, and the heat maps that its detector gave with them.

    Those of the test rows, and of the validation rows.
    """

    scores: Scores
    heat: tuple[HeatMaps, HeatMaps] | None


class Evidence(Protocol):
    """Features of all images of a run, and how its detector is fitted on and judges by them."""

    @property
    def stored(self) -> StoredFeatures | ObtainedMaps:
        """The features."""

    @property
    def cache_hit(self) -> bool:
        """Whether nothing had to be extracted."""

    @property
    def seconds_extract(self) -> float:
        """What the extraction took."""

    def fit(self, split: Split) -> Model:
        """Fit on the training rows."""

    def score(self, model: Any, split: Split) -> Outcome:  # noqa: ANN401 - what `fit` returned
        """Score the test and validation rows."""

    def localise(self, splits: Sequence[Split], outcomes: Sequence[Outcome]) -> Localised | None:
        """Return what the test images' heat maps are worth; None where there are none."""


def obtain_evidence(
    config: DictConfig,
    parts: Parts,
    catalog: pd.DataFrame,
    splits: Sequence[Split],
    source: FeatureSource,
    images: Fingerprint,
) -> Evidence:
    """Return what the run's detector judges by, from the store or fresh.

    Raises:
        UserError: an image or the store cannot be used, a feature is not finite, or a supervised
            detector would be fitted on what it is tested on.
    """
    detector = parts.detector
    if isinstance(detector, PatchDetector):
        maps = source.maps(images, parts.map_blocks(detector))
        size = parts.backbone.image_size()
        return MapEvidence(catalog, maps, detector, size, parts.metrics)
    features = source.features(images)
    limits = parts.dataset.facts(config.category)
    training = obtain_training(catalog, splits, features, source, parts.augmentation, limits)
    if parts.supervised:
        require_apart(splits, images)
    return VectorEvidence(config, parts, detector, catalog, features, training, source, images)


def require_apart(splits: Sequence[Split], images: Fingerprint) -> None:
    """Refuse folds that test an image which they also fit or hold out, under whatever name.

    Raises:
        UserError: names two files of the same content.
    """
    for split in splits:
        seen = {images.digests[row]: row for row in [*split.train, *split.validation]}
        for row in split.test:
            if images.digests[row] in seen:
                twin = images.paths[seen[images.digests[row]]]
                raise UserError(
                    f"{images.paths[row]} is tested and {twin}, which is the same image, is not "
                    "kept from a supervised detector: leave one out, by dataset=folder dataset.csv"
                )


@dataclass(frozen=True)
class VectorEvidence:
    """Vectors: one detector a block."""

    config: DictConfig
    parts: Parts
    detector: Detector | SupervisedDetector
    catalog: pd.DataFrame
    stored: StoredFeatures
    training: Training
    source: FeatureSource
    images: Fingerprint

    @property
    def cache_hit(self) -> bool:
        """Whether nothing had to be extracted."""
        return self.stored.cache_hit and self.training.cache_hit

    @property
    def seconds_extract(self) -> float:
        """What the extraction took."""
        return self.stored.seconds_extract + self.training.seconds_extract

    def fit(self, split: Split) -> FittedModel:
        """Fit on the training rows, and on their labels where asked for; see `scoring.fit`."""
        detector = self.detector
        if isinstance(detector, SupervisedDetector):
            images = self.training.images[self.training.rows(split)]
            detector = detector.taught(self.catalog["label"].to_numpy()[images])
        return fit(self.training, split, detector, self.parts.combination)

    def score(self, model: FittedModel, split: Split) -> Outcome:
        """Score the test and validation rows; see `scoring.score`."""
        return Outcome(score(self.catalog, self.stored.blocks, model, split), None)

    def localise(
        self,
        splits: Sequence[Split],
        outcomes: Sequence[Outcome],  # noqa: ARG002
    ) -> Localised | None:
        """Localise by a way of its own, if that is asked for; see `localising.localise`."""
        reader = self.source.reader(self.images)
        return localise(self.config, self.parts, self.catalog, splits[0], reader)


@dataclass(frozen=True)
class MapEvidence:
    """Maps: one detector on all patches, whose heat maps come with its scores."""

    catalog: pd.DataFrame
    stored: ObtainedMaps
    detector: PatchDetector
    image_size: Size
    definitions: Definitions

    @property
    def cache_hit(self) -> bool:
        """Whether nothing had to be extracted."""
        return self.stored.cache_hit

    @property
    def seconds_extract(self) -> float:
        """What the extraction took."""
        return self.stored.seconds_extract

    @one_thread()
    def fit(self, split: Split) -> FittedPatchDetector:
        """Fit on the training rows.

        Raises:
            UserError: the maps admit no fit, or it takes too much memory.
        """
        return self.detector.fit(self.stored.rows(split.train))

    def score(self, model: FittedPatchDetector, split: Split) -> Outcome:
        """Score the test and validation rows."""
        rows = np.concatenate([split.test, split.validation])
        found = score_maps(model, self.stored.rows(rows))
        parts = np.split(found.grids, [len(split.test)])
        tested, held_out = (model.heat_maps(grids, self.image_size) for grids in parts)
        return Outcome(parted_scores(self.catalog, split, found.images), (tested, held_out))

    def localise(self, splits: Sequence[Split], outcomes: Sequence[Outcome]) -> Localised:
        """Measure the folds' heat maps."""
        heat = [outcome.heat for outcome in outcomes if outcome.heat is not None]
        tested, held_out = zip(*heat, strict=True)
        return measure_folds(self.catalog, splits, tested, held_out, self.definitions)


def score_maps(model: FittedPatchDetector, maps: MapRows) -> PatchScores:
    """Score images, as many batches at once as there are threads.

    Linear algebra stays on one thread in each, so that the numbers do not depend on how many.
    """

    def of(rows: np.ndarray) -> PatchScores:
        with one_thread():
            return model.score(maps.read(rows))

    with ThreadPoolExecutor(thread_count()) as threads:
        parts = list(threads.map(of, maps.batches()))
    return PatchScores(
        grids=np.concatenate([part.grids for part in parts]),
        images=np.concatenate([part.images for part in parts]),
    )
