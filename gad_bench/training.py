"""The vectors that detectors are fitted on: the training images' own, or of augmented copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gad_bench.data.augmentation import Augmentation, NoAugmentation
from gad_bench.data.catalog import CategoryFacts
from gad_bench.features.interface import Features
from gad_bench.features.obtain import FeatureSource
from gad_bench.features.store import StoredFeatures
from gad_bench.split import Rows, Split


@dataclass(frozen=True)
class Training:
    """Vectors to be fitted.

    Attributes:
        blocks: float32 [vectors, D_i] by block.
        rows: which of the vectors are fitted.
        images: of each vector the row in the catalog.
        cache_hit: whether nothing had to be extracted for them.
        seconds_extract: what that took, 0 on a hit.
    """

    blocks: dict[int, Features]
    rows: Rows
    images: Rows
    cache_hit: bool = True
    seconds_extract: float = 0.0


def obtain_training(
    catalog: pd.DataFrame,
    split: Split,
    features: StoredFeatures,
    source: FeatureSource,
    augmentation: Augmentation,
    category: CategoryFacts,
) -> Training:
    """Return the vectors to be fitted, augmenting where that is asked for.

    Every training image of the catalog is augmented, whatever the fold, and every anomalous test
    image as soon as the fitted ones are contaminated: so all folds, shares and seeds use the same.

    Raises:
        UserError: an image or the store cannot be used.
    """
    if isinstance(augmentation, NoAugmentation):
        return Training(features.blocks, split.train, np.arange(len(catalog)))
    stored, images = [], []
    for rows in _augmented_rows(catalog, split):
        paths = list(catalog["path"].iloc[rows])
        stored.append(source.augmented(paths, augmentation, category))
        images.append(np.repeat(rows, augmentation.passes))
    joined = np.concatenate(images)
    return Training(
        blocks=_join([part.blocks for part in stored]),
        rows=np.flatnonzero(np.isin(joined, split.train)),
        images=joined,
        cache_hit=all(part.cache_hit for part in stored),
        seconds_extract=sum(part.seconds_extract for part in stored),
    )


def _augmented_rows(catalog: pd.DataFrame, split: Split) -> list[Rows]:
    """Return groups of rows that are stored together."""
    is_train = (catalog["split"] == "train").to_numpy()
    groups = [np.flatnonzero(is_train)]
    if not is_train[split.train].all():
        anomalous = (catalog["label"] == 1).to_numpy()
        groups.append(np.flatnonzero(~is_train & anomalous))
    return groups


def _join(parts: list[dict[int, Features]]) -> dict[int, Features]:
    if len(parts) == 1:
        return parts[0]
    return {block: np.concatenate([part[block] for part in parts]) for block in parts[0]}
