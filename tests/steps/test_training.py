from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from category_facts import STILL
from program import Program
from sklearn.covariance import LedoitWolf

from gad_bench.base.errors import UserError
from gad_bench.config import compose_config
from gad_bench.data.augmentation import Augmentation, NoAugmentation, PaperAugmentation
from gad_bench.data.catalog import ImageRow, make_catalog
from gad_bench.data.split import Full, KFold, Split, Stratified, split_catalog, split_labelled
from gad_bench.features.blocks import Blocks
from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder
from gad_bench.features.runtime import TorchRuntime
from gad_bench.features.source import FeatureSource
from gad_bench.features.store import StoredFeatures
from gad_bench.steps.parts import Parts
from gad_bench.steps.training import Training, obtain_training

PASSES = 3
PAPER = PaperAugmentation(passes=PASSES, seed=0, probability=1)
FACTS = replace(STILL, horizontal_flip=True, quarter_turns=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def catalog(folder: Path) -> pd.DataFrame:
    """Ten training images, three good and six anomalous test images."""
    rows = []
    noise = np.random.default_rng(0)
    for split, defect, count in (("train", "good", 10), ("test", "good", 3), ("test", "hole", 6)):
        for number in range(count):
            path = folder / f"{split} {defect} {number}.png"
            cv2.imwrite(str(path), cv2.resize(noise.random((5, 5, 3), np.float32), (32, 32)) * 255)
            label = int(defect != "good")
            rows.append(ImageRow(str(path), "part", split, label, defect, ""))
    return make_catalog(rows, "here")


@pytest.fixture(scope="module")
def source(folder: Path) -> FeatureSource:
    return FeatureSource(
        encoder=Encoder(
            backbone=FilterBank(input_size=16, octaves=1),
            runtime=TorchRuntime(),
            device="cpu",
            batch_size=8,
        ),
        blocks=Blocks(indices=[1]),
        cache_dir=str(folder / "cache"),
        about={},
    )


def training(
    catalog: pd.DataFrame,
    source: FeatureSource,
    split: Split,
    augmentation: Augmentation = PAPER,
) -> Training:
    features = source.features(list(catalog["path"]))
    return obtain_training(catalog, [split], features, source, augmentation, FACTS)


def test_without_augmentation_the_training_images_own_vectors_are_fitted(
    catalog: pd.DataFrame, source: FeatureSource
) -> None:
    (split,) = split_catalog(catalog, KFold(), 0.0, 0)
    found = training(catalog, source, split, NoAugmentation())
    np.testing.assert_array_equal(found.rows(split), split.train)
    np.testing.assert_array_equal(found.blocks[1], source.features(list(catalog["path"])).blocks[1])
    assert (found.cache_hit, found.seconds_extract) == (True, 0.0)


def test_all_passes_over_the_fitted_images_are_fitted_and_no_other(
    catalog: pd.DataFrame, source: FeatureSource
) -> None:
    (split,) = split_catalog(catalog, KFold(index=2), 0.0, 0)
    found = training(catalog, source, split)
    expected = source.augmented(list(catalog["path"].iloc[split.train]), PAPER, FACTS).blocks[1]
    np.testing.assert_allclose(found.blocks[1][found.rows(split)], expected, rtol=1e-5)
    np.testing.assert_array_equal(found.images[found.rows(split)], np.repeat(split.train, PASSES))


def test_all_folds_share_one_extraction(catalog: pd.DataFrame, source: FeatureSource) -> None:
    training(catalog, source, *split_catalog(catalog, KFold(index=0), 0.0, 0))
    for fold in (KFold(index=1), KFold(index=4, seed=3), KFold(n_splits=3), Full()):
        assert training(catalog, source, *split_catalog(catalog, fold, 0.0, 0)).cache_hit


def test_contaminating_images_are_augmented_like_the_others(
    catalog: pd.DataFrame, source: FeatureSource
) -> None:
    (split,) = split_catalog(catalog, Full(), 0.3, 0)
    assert (catalog["label"].iloc[split.train] == 1).sum() == 3
    found = training(catalog, source, split)
    order = np.sort(split.train)
    expected = source.augmented(list(catalog["path"].iloc[order]), PAPER, FACTS).blocks[1]
    np.testing.assert_allclose(found.blocks[1][found.rows(split)], expected, rtol=1e-5)


def test_labelled_images_of_both_folders_are_augmented(
    catalog: pd.DataFrame, source: FeatureSource
) -> None:
    (split,) = split_labelled(catalog, Stratified(n_splits=3), 0.0)
    found = training(catalog, source, split)
    images = found.images[found.rows(split)]
    np.testing.assert_array_equal(np.sort(images), np.repeat(split.train, PASSES))
    assert set(catalog["label"].iloc[images]) == {0, 1}


def test_all_shares_and_seeds_of_contamination_share_one_extraction(
    catalog: pd.DataFrame, source: FeatureSource
) -> None:
    training(catalog, source, *split_catalog(catalog, Full(), 0.3, 0))
    for share, seed in ((0.1, 0), (0.5, 1)):
        assert training(catalog, source, *split_catalog(catalog, Full(), share, seed)).cache_hit


class Poisoned(FeatureSource):
    """A source whose network overflows on one augmented image: the last of its second image."""

    def augmented(self, *arguments: Any) -> StoredFeatures:
        stored = super().augmented(*arguments)
        stored.blocks[1][2 * PASSES - 1, 0] = np.inf
        return stored


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_image_whose_features_are_not_finite_is_named(
    wrong: float, catalog: pd.DataFrame, source: FeatureSource
) -> None:
    (split,) = split_catalog(catalog, Full(), 0.0, 0)
    features = source.features(list(catalog["path"]))
    features.blocks[1][3, 0] = wrong
    name = re.escape(catalog["path"].iloc[3])
    with pytest.raises(UserError, match=f"{name}: its features of block 1 are not finite"):
        obtain_training(catalog, [split], features, source, NoAugmentation(), FACTS)


def test_so_is_one_whose_augmented_features_are_not(
    catalog: pd.DataFrame, source: FeatureSource
) -> None:
    (split,) = split_catalog(catalog, Full(), 0.0, 0)
    name = re.escape(catalog["path"].iloc[split.train[1]])
    values = {field.name: getattr(source, field.name) for field in fields(source) if field.init}
    with pytest.raises(UserError, match=f"{name}: its features of block 1 are not finite"):
        training(catalog, Poisoned(**values), split)


def test_the_time_of_the_extraction_is_told(catalog: pd.DataFrame, source: FeatureSource) -> None:
    fresh = PaperAugmentation(passes=2, seed=5, probability=1)
    (split,) = split_catalog(catalog, Full(), 0.0, 0)
    first, again = (training(catalog, source, split, fresh) for _ in range(2))
    assert not first.cache_hit
    assert first.seconds_extract > 0
    assert (again.cache_hit, again.seconds_extract) == (True, 0.0)


def test_a_run_scores_by_the_gaussian_of_the_augmented_vectors(
    program: Program, shared_cache: Path
) -> None:
    """Against scikit-learn, on the demo's wood: the test images stay as they are."""
    outcome = program(
        *("experiment=demo", "augmentation=paper", "augmentation.passes=2", "fold=full"),
        *("blocks.indices=[2]", "tracking=none", "figures=false"),
    )
    assert outcome.status == 0, outcome.errors
    config = compose_config(["experiment=demo", "augmentation=paper", "augmentation.passes=2"])
    config.cache_dir = str(shared_cache)
    parts = Parts.build(config)
    catalog, limits = parts.dataset.catalog("wood"), parts.dataset.facts("wood")
    blocks = Blocks(indices=[2])
    source = FeatureSource(
        encoder=Encoder(
            backbone=parts.backbone, runtime=parts.runtime, device="auto", batch_size=16
        ),
        blocks=blocks,
        cache_dir=str(shared_cache),
        about={},
    )
    trained = list(catalog["path"][catalog["split"] == "train"])
    augmented = source.augmented(trained, parts.augmentation, limits).blocks[2]
    fitted = LedoitWolf().fit(augmented.astype(np.float64))
    tested = catalog["path"][catalog["split"] == "test"]
    plain = source.features(list(catalog["path"])).blocks[2][tested.index]
    np.testing.assert_allclose(
        outcome.scores["score"], np.sqrt(fitted.mahalanobis(plain)), rtol=1e-6
    )
    assert outcome.metrics["images_train"] == len(trained)
