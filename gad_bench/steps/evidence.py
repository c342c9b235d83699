"""What a run's detector judges by: the images' vectors, their maps, or the images themselves."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread, thread_count
from gad_bench.data.defect_sizes import defect_share
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.split import Rows, Split
from gad_bench.evaluation import Definitions, Scores
from gad_bench.features.interface import Backbone, Size
from gad_bench.features.maps import MapRows, ObtainedMaps
from gad_bench.features.source import FeatureSource
from gad_bench.features.store import Recipe, StoredFeatures
from gad_bench.gaussian import Detector, SupervisedDetector
from gad_bench.gaussian.model import FittedModel
from gad_bench.patches import FittedPatchDetector, PatchDetector, PatchScores
from gad_bench.patches.heat_maps import HeatMaps
from gad_bench.steps.attribution import Attributed, PixelExplanation, most_similar
from gad_bench.steps.lessons import KeptNetworks, Lessons, read_lessons
from gad_bench.steps.localising import Localised, localise, measure_folds
from gad_bench.steps.parts import Parts
from gad_bench.steps.scoring import fit, parted_scores, score
from gad_bench.steps.training import (
    Training,
    TrainingMaps,
    obtain_training,
    obtain_training_maps,
)
from gad_bench.trained import ImageDetector
from gad_bench.trained.schedule import Curves, Trained, is_finished

Model = FittedModel | FittedPatchDetector
"""What can be saved of what was fitted."""


class Outcome(NamedTuple):
    """A fold's scores, the heat maps that its detector gave with them, and how it was trained.

    The heat maps are of the test rows, and those of the validation rows.
    """

    scores: Scores
    heat: HeatMaps | None = None
    held_out_heat: HeatMaps | None = None
    curves: Curves | None = None


class Stored(Protocol):
    """What is kept of a run's images for later runs."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def images_digest(self) -> str:
        """A digest of all the images' content."""

    @property
    def images_per_second(self) -> float | None:
        """What the extraction came to; None where nobody knows."""


class Evidence(Protocol):
    """What is known of all images of a run, and how its detector is fitted on and judges by it."""

    @property
    def stored(self) -> Stored:
        """What is kept of it."""

    @property
    def cache_hit(self) -> bool:
        """Whether all of that was there already."""

    @property
    def seconds_extract(self) -> float:
        """What it took to obtain."""

    def fit(self, split: Split) -> Any:  # noqa: ANN401 - a `Model`, or a trained network
        """Fit on the training rows."""

    def score(self, model: Any, split: Split) -> Outcome:  # noqa: ANN401 - what `fit` returned
        """Score the test and validation rows."""

    def localise(self, splits: Sequence[Split], outcomes: Sequence[Outcome]) -> Localised | None:
        """Return what the test images' heat maps are worth; None where there are none."""

    def attribute(self, model: Any, split: Split) -> Attributed | None:  # noqa: ANN401 - as above
        """Attribute the test images' scores to pixels; None where that is not asked for."""

    def draw(self, output: Path, model: Any, rows: Rows, scores: Scores, name: str) -> None:  # noqa: ANN401
        """Draw what only this kind of evidence shows of test images.

        Args:
            output: the folder.
            model: what the last fold's `fit` returned.
            rows: the images.
            scores: theirs.
            name: of the run.
        """


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
    detector, limits = parts.detector, parts.dataset.facts(config.category)
    if parts.supervised:
        require_apart(splits, images)
    if isinstance(detector, ImageDetector):
        lessons = read_lessons(config, parts, detector, catalog, source, images)
        folders = [lessons.folder(split) for split in splits]
        return ImageEvidence(
            catalog=catalog,
            detector=detector,
            backbone=parts.backbone,
            lessons=lessons,
            stored=KeptNetworks(folders[-1], Recipe({}, images.digests).images_digest),
            cache_hit=all(is_finished(folder) for folder in folders),
            seed=config.seed,
            smallest_defect=(
                defect_share(limits, catalog) if detector.needs_smallest_defect else None
            ),
        )
    if isinstance(detector, PatchDetector):
        maps = source.maps(images, parts.map_blocks(detector))
        shown = obtain_training_maps(catalog, splits, maps, source, parts.augmentation, limits)
        size = parts.backbone.image_size()
        return MapEvidence(catalog, maps, shown, detector, size, config.seed, parts.metrics)
    features = source.features(images)
    training = obtain_training(catalog, splits, features, source, parts.augmentation, limits)
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
        return Outcome(score(self.catalog, self.stored.blocks, model, split))

    def localise(
        self,
        splits: Sequence[Split],
        outcomes: Sequence[Outcome],  # noqa: ARG002
    ) -> Localised | None:
        """Localise by a way of its own, if that is asked for; see `localising.localise`."""
        reader = self.source.reader(self.images)
        return localise(self.config, self.parts, self.catalog, splits[0], reader)

    def attribute(self, model: FittedModel, split: Split) -> Attributed | None:
        """Attribute by the explanation, if it is one of pixels; see `PixelExplanation`."""
        explanation, backbone = self.parts.explanation, self.parts.backbone
        if not isinstance(explanation, PixelExplanation) or not len(split.test):
            return None
        from gad_bench.steps.graph import DetectorGraph

        graph = DetectorGraph(model, backbone)
        reader = self.source.reader(self.images)
        similar = most_similar(self.stored.blocks, split)
        pairs = [
            (reader(row), reader(start)) for row, start in zip(split.test, similar, strict=True)
        ]
        found = explanation.attribute(graph, pairs, self.config.device)
        tested = self.catalog.iloc[split.test]
        return explanation.measure(found, backbone.image_size(), tested, self.config.seed)

    def draw(self, output: Path, model: FittedModel, rows: Rows, scores: Scores, name: str) -> None:
        """Explain the scores by blocks and components, if that is asked for."""
        explanation = self.parts.explanation
        if isinstance(explanation, PixelExplanation):
            return
        tested, blocks = self.catalog.iloc[rows], self.stored.blocks
        explanation.draw(output, tested, blocks, rows, scores, model.blocks, name=name)


@dataclass(frozen=True)
class MapEvidence:
    """Maps: one detector on all patches, whose heat maps come with its scores."""

    catalog: pd.DataFrame
    stored: ObtainedMaps
    training: TrainingMaps
    detector: PatchDetector
    image_size: Size
    seed: int  # of the bootstrap
    definitions: Definitions

    @property
    def cache_hit(self) -> bool:
        """Whether nothing had to be extracted."""
        return all(maps.cache_hit for maps in self._obtained)

    @property
    def seconds_extract(self) -> float:
        """What the extraction took."""
        return sum(maps.seconds_extract for maps in self._obtained)

    @one_thread()
    def fit(self, split: Split) -> FittedPatchDetector:
        """Fit on the training rows.

        Raises:
            UserError: the maps admit no fit, or it takes too much memory.
        """
        return self.detector.fit(self.training.rows(split))

    def score(self, model: FittedPatchDetector, split: Split) -> Outcome:
        """Score the test and validation rows."""
        rows = np.concatenate([split.test, split.validation])
        found = score_maps(model, self.stored.rows(rows))
        grids = np.split(found.grids, [len(split.test)])
        heat, held_out = (model.heat_maps(own, self.image_size) for own in grids)
        return Outcome(parted_scores(self.catalog, split, found.images), heat, held_out)

    def localise(self, splits: Sequence[Split], outcomes: Sequence[Outcome]) -> Localised:
        """Measure the folds' heat maps."""
        heat = [outcome.heat for outcome in outcomes if outcome.heat is not None]
        held_out = [
            outcome.held_out_heat for outcome in outcomes if outcome.held_out_heat is not None
        ]
        return measure_folds(self.catalog, splits, heat, self.seed, self.definitions, held_out)

    def attribute(self, *_: object) -> None:
        """Attribute nothing: the scores come with heat maps."""

    def draw(self, *_: object) -> None:
        """Draw nothing beside the heat maps."""

    @property
    def _obtained(self) -> list[ObtainedMaps]:
        """The images' maps, and those of augmented ones where they are others."""
        fitted = self.training.maps
        return [self.stored] if fitted is self.stored else [self.stored, fitted]


@dataclass(frozen=True, kw_only=True)
class ImageEvidence:
    """Images: a network a fold is trained on them, or found trained."""

    catalog: pd.DataFrame
    detector: ImageDetector
    backbone: Backbone
    lessons: Lessons
    stored: KeptNetworks
    cache_hit: bool
    smallest_defect: float | None
    seed: int  # of the bootstrap

    @property
    def seconds_extract(self) -> float:
        """What it took to read them."""
        return self.lessons.seconds

    def fit(self, split: Split) -> Trained:
        """Train on the training rows, judged by those held out.

        Raises:
            UserError: the images or the backbone admit no training, or it diverged.
        """
        lessons = self.lessons
        folder = lessons.folder(split)
        return self.detector.fit(self.backbone, lessons.of(split), lessons.device, folder)

    def score(self, model: Trained, split: Split) -> Outcome:
        """Score the test and validation rows."""
        pixels = self.lessons.pixels[np.concatenate([split.test, split.validation])]
        judged = self.detector.judge(model, pixels, self.lessons.device, self.smallest_defect)
        scores = parted_scores(self.catalog, split, judged.scores)
        if judged.maps is None:
            return Outcome(scores, curves=model.curves)
        maps = judged.maps[: len(split.test)]
        heat = HeatMaps(grids=maps, input_size=maps.shape[1], sigma=0.0)
        return Outcome(scores, heat, curves=model.curves)

    def localise(self, splits: Sequence[Split], outcomes: Sequence[Outcome]) -> Localised | None:
        """Measure the folds' error maps, as they are."""
        heat = [outcome.heat for outcome in outcomes if outcome.heat is not None]
        return measure_folds(self.catalog, splits, heat, self.seed) if heat else None

    def attribute(self, *_: object) -> None:
        """Attribute nothing: the network has no graph."""

    def draw(self, output: Path, model: Trained, rows: Rows, scores: Scores, name: str) -> None:
        """Draw some images beside what the network gives back of them, if it does."""
        from gad_bench.figures.reconstructions import draw_reconstructions, shown_rows
        from gad_bench.figures.style import save_figure

        good, anomalous = shown_rows(scores)
        chosen = np.concatenate([good, anomalous])
        pixels = self.lessons.pixels[rows[chosen]]
        returned = self.detector.reconstruct(model, pixels, self.lessons.device)
        if returned is None:
            return
        figure = draw_reconstructions(
            pixels, returned.images, returned.errors, scores.combined[chosen], len(good)
        )
        save_figure(figure, output / "reconstructions.png", name)


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
