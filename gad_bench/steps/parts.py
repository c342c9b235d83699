"""The parts of a run, built from the config's groups."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.errors import UserError
from gad_bench.base.process import quick_imports, thread_count
from gad_bench.config import build, build_dataset, has_remote_images
from gad_bench.data.augmentation import Augmentation, NoAugmentation
from gad_bench.data.catalog import Dataset
from gad_bench.data.images import image_shape
from gad_bench.data.painting import NoSelection, Selection
from gad_bench.data.split import (
    Fold,
    Full,
    LabelledFold,
    Split,
    cross_fits,
    split_catalog,
    split_labelled,
)
from gad_bench.evaluation import Definitions, Threshold
from gad_bench.evaluation.conformal import allowed
from gad_bench.evaluation.thresholds import CONFORMAL
from gad_bench.features.blocks import Blocks
from gad_bench.features.inputs import Input
from gad_bench.features.interface import Backbone, Encoder, Extraction, Runtime
from gad_bench.features.maps import MapStorage
from gad_bench.features.shards import ABOUT
from gad_bench.features.source import FeatureSource
from gad_bench.figures.embedding import Embedding, NoEmbedding
from gad_bench.figures.explanation import Explanation, NoExplanation
from gad_bench.gaussian import Combination, Detector, SupervisedDetector
from gad_bench.patches import PatchDetector
from gad_bench.patches.heat_maps import Localisation, NoLocalisation
from gad_bench.steps.attribution import PixelExplanation
from gad_bench.tracking import Tracker
from gad_bench.trained import ImageDetector

log = logging.getLogger(__name__)

OURS = "gad_bench."
SUPERVISED = "supervised"  # said of all that comes of labelled anomalous images


@dataclass(frozen=True, kw_only=True)
class Parts:
    """One object a group, ready to use."""

    dataset: Dataset
    backbone: Backbone
    input: Input
    blocks: Blocks
    runtime: Runtime
    extraction: Extraction
    maps: MapStorage
    fold: Fold | LabelledFold
    augmentation: Augmentation
    detector: Detector | SupervisedDetector | PatchDetector | ImageDetector
    combination: Combination
    localisation: Localisation
    explanation: Explanation | PixelExplanation
    embedding: Embedding
    threshold: Threshold
    metrics: Definitions
    selection: Selection | NoSelection
    tracking: Tracker

    @classmethod
    def build(cls, config: DictConfig) -> Parts:
        """Build every part, so that what is impossible is refused before anything runs.

        Parts of ours never change: a sweep's job shares those that the one before had.

        Raises:
            UserError: a part refuses its values.
        """
        with quick_imports():
            return cls(**{field.name: _built(field.name, config) for field in fields(cls)})

    @property
    def supervised(self) -> bool:
        """Whether the detector learns from labels, of anomalous images too."""
        if isinstance(self.detector, ImageDetector):
            return self.detector.supervised
        return isinstance(self.detector, SupervisedDetector)

    def splits(self, config: DictConfig, catalog: pd.DataFrame) -> list[Split]:
        """Split a catalog's rows by each fold of a run.

        Raises:
            UserError: the fold does not go with the detector, or asks for more images than there
                are.
        """
        if self.supervised:
            return split_labelled(catalog, self.fold, config.contamination, config.shots)
        shares = config.contamination, config.seed, config.largest_contamination
        return split_catalog(catalog, self.fold, *shares, config.shots)

    def with_local_images(self, config: DictConfig) -> Parts:
        """Return the same, with a data set whose images are on this disk.

        Raises:
            UserError: they cannot be copied.
        """
        if not has_remote_images(config):
            return self
        return replace(self, dataset=build_dataset(config, config.category))

    def for_images(self, catalog: pd.DataFrame) -> Parts:
        """Return the same, with the backbone that sees a category's images as `input` says.

        Raises:
            UserError: that backbone, or those images, cannot be seen so, or one cannot be read.
        """
        paths = catalog.loc[catalog["split"] == "train", "path"] if self.input.needs_shapes else ()
        with ThreadPoolExecutor(thread_count()) as threads:
            shapes = list(threads.map(image_shape, paths))
        return replace(self, backbone=self.input.of(self.backbone, shapes))

    def cross_fits(self, catalog: pd.DataFrame, splits: Sequence[Split]) -> list[Split]:
        """Return the splits that hold fitted images out in turn, where calibration takes them.

        It does not where the data set's own validation images suffice for the wanted rate: what
        they promise is exact.
        """
        threshold, own = self.threshold, len(splits[0].validation)
        if isinstance(self.fold, LabelledFold):
            return []
        if CONFORMAL not in threshold.methods or allowed(threshold.fpr, own):
            return []
        return cross_fits(splits[0], catalog["label"].to_numpy(), self.fold)

    def require_possible(self, splits: Sequence[Split], cross: Sequence[Split]) -> None:
        """Refuse what the folds do not admit, before anything is extracted.

        Raises:
            UserError: a part knows only one model, or needs images that are held out.
        """
        if not cross:
            self._require_held_out([len(split.validation) for split in splits])
        self._require_blocks("maps.keep", self.maps.keep)
        if isinstance(self.detector, PatchDetector):
            self._require_patches(self.detector)
        if isinstance(self.detector, ImageDetector):
            self._require_images(self.detector, splits)
        self.embedding.require(self.blocks.of(self.backbone.block_count()))
        if isinstance(self.explanation, PixelExplanation):
            precision = self.runtime.facts("cpu")["precision"]
            self.explanation.require(self.detector, self.combination, precision)
        if self.supervised and not isinstance(self.localisation, NoLocalisation):
            raise UserError(
                "localisation= is fitted on good images alone, and this detector on anomalous ones "
                "too: use localisation=none"
            )
        single = {
            "localisation": (NoLocalisation, "; detector=patch_gaussian maps those of all folds"),
            "explanation": (NoExplanation, ""),
        }
        for group, (none, other) in single.items():
            if len(splits) > 1 and not isinstance(getattr(self, group), none):
                raise UserError(
                    f"{group}= needs one fold in a run: use fold=full, or fold=kfold and "
                    f"fold.index{other}"
                )

    def map_blocks(self, detector: PatchDetector) -> list[int]:
        """Return the blocks whose maps a detector on patches is fitted on.

        Raises:
            UserError: the backbone has no such block.
        """
        if detector.blocks is None:
            return self.blocks.of(self.backbone.block_count())
        self._require_blocks("detector.blocks", detector.blocks)
        return list(detector.blocks)

    def _require_held_out(self, images: Sequence[int]) -> None:
        """Refuse folds that hold none out, or say what that costs who has not asked for it."""
        self.threshold.require_held_out(images)
        asked = isinstance(self.fold, Full) and self.fold.calibration_folds == 0
        if CONFORMAL in self.threshold.methods and not all(images) and not asked:
            log.info(
                "no validation images, so no p-values: fold=kfold or fold=cross holds some out, "
                "and fold=full does so in turn where it fits several"
            )

    def _require_blocks(self, key: str, blocks: Sequence[int]) -> None:
        count = self.backbone.block_count()
        outside = [block for block in blocks if not 0 <= block < count]
        if outside:
            raise UserError(
                f"{key}={blocks}: there is no block {outside[0]}; "
                f"this backbone's blocks are 0 to {count - 1}"
            )

    def _require_patches(self, detector: PatchDetector) -> None:
        """Refuse what a detector on patches has no use for."""
        self.map_blocks(detector)
        self._require_none(
            "on patches",
            localisation="it gives heat maps itself",
            explanation="its scores come from no single block",
            embedding="it has maps of images, not vectors",
        )

    def _require_images(self, detector: ImageDetector, splits: Sequence[Split]) -> None:
        """Refuse what a detector that is trained on images has no use for, or lacks."""
        detector.trainable(self.backbone)
        if not all(len(split.validation) for split in splits):
            raise UserError(
                "training stops by images that are held out, and this fold holds none out: use "
                "fold=kfold, fold=cross or fold=stratified"
            )
        self._require_none(
            "that is trained on images",
            augmentation="changed copies of vectors are stored, not of images",
            localisation="it has no stored features",
            explanation="its scores come from no single block",
            embedding="it has images, not vectors",
            selection="it scores stored features alone",
        )

    def _require_none(self, kind: str, **reasons: str) -> None:
        """Refuse groups that a kind of detector has no use for, with the reasons."""
        none = {
            "augmentation": NoAugmentation,
            "localisation": NoLocalisation,
            "explanation": NoExplanation,
            "embedding": NoEmbedding,
            "selection": NoSelection,
        }
        for group, reason in reasons.items():
            if not isinstance(getattr(self, group), none[group]):
                raise UserError(
                    f"{group}= does not go with a detector {kind}, for {reason}: use {group}=none"
                )

    def encoder(self, config: DictConfig) -> Encoder:
        """Return what makes features of images."""
        return Encoder(
            backbone=self.backbone,
            runtime=self.runtime,
            device=config.device,
            batch_size=config.batch_size,
        )

    def feature_source(self, config: DictConfig, about: Mapping[str, str]) -> FeatureSource:
        """Return what gives these parts' features.

        Args:
            config: the run's.
            about: what to tell people who list the store: dataset, category and backbone.
        """
        source = stored_source(self.encoder(config), self.blocks, config, about, self.extraction)
        return replace(source, storage=self.maps)


_last_built: dict[str, tuple[str, Any]] = {}
"""By group, the values of the part of ours that was built last, and that part."""


def _built(group: str, config: DictConfig) -> Any:  # noqa: ANN401 - whatever the group is
    values = str(OmegaConf.to_container(config[group], resolve=True))
    last_values, part = _last_built.get(group, (None, None))
    if values != last_values:
        part = build(config[group])
        if type(part).__module__.startswith(OURS):
            _last_built[group] = values, part
    return part


def stored_source(
    encoder: Encoder,
    blocks: Blocks,
    config: DictConfig,
    about: Mapping[str, str],
    extraction: Extraction,
) -> FeatureSource:
    """Return what gives an encoder's features, from the store that the config names or fresh."""
    return FeatureSource(
        encoder=encoder,
        blocks=blocks,
        cache_dir=config.cache_dir,
        about={name: about[name] for name in ABOUT if name in about},
        extraction=extraction,
        keep_images=config.keep_images,
        cache_remote=config.get("cache_remote"),
    )
