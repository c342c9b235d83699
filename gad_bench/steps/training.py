"""What detectors are fitted on: vectors or maps of the training images, or of augmented copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from gad_bench.base.errors import UserError
from gad_bench.data.augmentation import Augmentation, NoAugmentation
from gad_bench.data.catalog import CategoryFacts
from gad_bench.data.split import Rows, Split
from gad_bench.features.interface import Features
from gad_bench.features.maps import MapRows, ObtainedMaps
from gad_bench.features.source import FeatureSource
from gad_bench.features.store import StoredFeatures
from gad_bench.gaussian import Samples

ROWS_AT_ONCE = 8192  # so that copies of a large block, which may lie on the disk, stay small


@dataclass(frozen=True)
class Training:
    """Vectors to be fitted.

    Attributes:
        blocks: float32 [vectors, D_i] by block.
        images: of each vector the row in the catalog.
        fitted: those of the vectors that any of the folds fits.
        cache_hit: whether nothing had to be extracted for them.
        seconds_extract: what that took, 0 on a hit.
    """

    blocks: dict[int, Features]
    images: Rows
    fitted: Rows
    cache_hit: bool = True
    seconds_extract: float = 0.0

    def rows(self, split: Split) -> Rows:
        """Return those of the vectors that a fold fits."""
        return np.flatnonzero(np.isin(self.images, split.train))

    def samples(self, block: int, split: Split) -> Samples:
        """Return a block's vectors that a fold fits; the folds share what they can."""
        rows = self.rows(split)
        if len(rows) == len(self.fitted):
            return self._samples[block]
        return self._samples[block].take(np.searchsorted(self.fitted, rows))

    @cached_property
    def _samples(self) -> dict[int, Samples]:
        return {block: Samples(values, self.fitted) for block, values in self.blocks.items()}


def obtain_training(
    catalog: pd.DataFrame,
    splits: Sequence[Split],
    features: StoredFeatures,
    source: FeatureSource,
    augmentation: Augmentation,
    category: CategoryFacts,
) -> Training:
    """Return the vectors to be fitted, augmenting where that is asked for.

    Every training image of the catalog is augmented, whatever the fold, and every anomalous image
    of the test folder as soon as one of them is fitted, likewise every good one: so all folds,
    shares and seeds use the same.

    Raises:
        UserError: an image or the store cannot be used, or a feature is not finite.
    """
    check_finite(catalog, features.blocks)
    fitted = np.unique(np.concatenate([split.train for split in splits]))
    if isinstance(augmentation, NoAugmentation):
        return Training(features.blocks, images=np.arange(len(catalog)), fitted=fitted)
    stored, images = [], []
    for rows in _augmented_rows(catalog, fitted):
        paths = list(catalog["path"].iloc[rows])
        stored.append(source.augmented(paths, augmentation, category))
        images.append(np.repeat(rows, augmentation.passes))
    joined = np.concatenate(images)
    blocks = _join([part.blocks for part in stored])
    check_finite(catalog.iloc[joined], blocks)
    return Training(
        blocks=blocks,
        images=joined,
        fitted=np.flatnonzero(np.isin(joined, fitted)),
        cache_hit=all(part.cache_hit for part in stored),
        seconds_extract=sum(part.seconds_extract for part in stored),
    )


@dataclass(frozen=True)
class TrainingMaps:
    """Maps to be fitted.

    Attributes:
        maps: an image's passes one after the other.
        images: of each image the row in the catalog.
        passes: maps an image.
    """

    maps: ObtainedMaps
    images: Rows
    passes: int = 1

    def rows(self, split: Split) -> MapRows:
        """Return those that a fold fits, in its images' order."""
        order = np.argsort(self.images)
        places = order[np.searchsorted(self.images, split.train, sorter=order)]
        return self.maps.rows((places[:, None] * self.passes + np.arange(self.passes)).ravel())


def obtain_training_maps(
    catalog: pd.DataFrame,
    splits: Sequence[Split],
    maps: ObtainedMaps,
    source: FeatureSource,
    augmentation: Augmentation,
    category: CategoryFacts,
) -> TrainingMaps:
    """Return the maps to be fitted, augmenting where that is asked for.

    Args:
        catalog: of all images.
        splits: the folds.
        maps: of all images as they are.
        source: of augmented ones.
        augmentation: none, or of every training image of the catalog, whatever the fold, and of
            every anomalous test image as soon as the fitted ones are contaminated.
        category: its limits on geometry.

    Raises:
        UserError: as `FeatureSource.maps`.
    """
    if isinstance(augmentation, NoAugmentation):
        return TrainingMaps(maps, np.arange(len(catalog)))
    fitted = np.unique(np.concatenate([split.train for split in splits]))
    rows = np.concatenate(_augmented_rows(catalog, fitted))
    paths = list(catalog["path"].iloc[rows])
    shown = source.augmented_maps(paths, augmentation, category, list(maps.blocks))
    return TrainingMaps(shown, rows, augmentation.passes)


def check_finite(catalog: pd.DataFrame, features: Mapping[int, Features]) -> None:
    """Refuse features that are NaN or infinite.

    Raises:
        UserError: names the first such image and block.
    """
    for block, values in features.items():
        wrong = [
            start + row
            for start in range(0, len(values), ROWS_AT_ONCE)
            for row in _not_finite(values[start : start + ROWS_AT_ONCE])
        ]
        if wrong:
            raise UserError(
                f"{catalog['path'].iloc[wrong[0]]}: its features of block {block} are not finite "
                f"({len(wrong)} vectors in all): check the weights, or use "
                "runtime.precision=float32"
            )


def _not_finite(values: Features) -> Rows:
    return np.flatnonzero(~np.isfinite(values).all(axis=1))


def _augmented_rows(catalog: pd.DataFrame, fitted: Rows) -> list[Rows]:
    """Return groups of rows that are stored together."""
    is_train = (catalog["split"] == "train").to_numpy()
    groups = [np.flatnonzero(is_train)]
    for label in (1, 0):
        others = np.flatnonzero(~is_train & (catalog["label"] == label).to_numpy())
        if np.isin(others, fitted).any():
            groups.append(others)
    return groups


def _join(parts: list[dict[int, Features]]) -> dict[int, Features]:
    if len(parts) == 1:
        return parts[0]
    return {block: np.concatenate([part[block] for part in parts]) for block in parts[0]}
