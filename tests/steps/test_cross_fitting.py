"""A fit of all good images is calibrated by fits that each leave some out."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import KFold
from vectors import Vectors

from gad_bench.base.errors import UserError
from gad_bench.config import compose_config
from gad_bench.data.split import split_catalog
from gad_bench.evaluation import HeldOut
from gad_bench.steps.cross_fitting import CrossFits, cross_fit
from gad_bench.steps.parts import Parts

TRAIN, OWN, TEST = 23, 4, 6


def catalog(own: int = 0) -> pd.DataFrame:
    parts = ["train"] * TRAIN + ["validation"] * own + ["test"] * TEST
    label = [0] * (len(parts) - TEST // 2) + [1] * (TEST // 2)
    return pd.DataFrame({"split": parts, "label": label, "defect": "x", "path": "x"})


def features(count: int) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        block: generator.standard_normal((count, width)).astype(np.float32)
        for block, width in ((1, 5), (4, 40))
    }


def parts_of(*overrides: str) -> Parts:
    return Parts.build(compose_config(["experiment=demo", "fold=full", *overrides]))


def held_out(table: pd.DataFrame, *overrides: str, contamination: float = 0.0) -> list[HeldOut]:
    parts = parts_of(*overrides)
    (split,) = split_catalog(table, parts.fold, contamination, seed=0)
    cross = parts.cross_fits(table, [split])
    evidence = Vectors(parts, table, features(len(table)), split)
    scores = cross_fit(evidence, parts.threshold, cross).scores
    return [part.held_out for part in scores if part.held_out is not None]


@pytest.mark.parametrize(("folds", "is_told"), [(5, True), (0, False)])
def test_that_no_image_is_held_out_is_told_unless_it_was_asked_for(
    folds: int, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    parts, table = parts_of(f"fold.calibration_folds={folds}"), catalog()[TRAIN - 1 :]
    (split,) = split_catalog(table, parts.fold, 0.0, seed=0)
    assert len(split.train) == 1
    parts.require_possible([split], parts.cross_fits(table, [split]))
    assert ("no validation images, so no p-values" in caplog.text) == is_told


@pytest.mark.parametrize("folds", [4, 5, 10])
def test_each_image_is_scored_by_the_fit_without_it(folds: int) -> None:
    found = held_out(catalog(), f"fold.calibration_folds={folds}")
    blocks = features(TRAIN + TEST)
    reference = KFold(folds, shuffle=True, random_state=0).split(np.arange(TRAIN))
    for part, (fitted, left) in zip(found, reference, strict=True):
        np.testing.assert_array_equal(part.images, left)
        expected = [
            np.sqrt(LedoitWolf().fit(values[fitted]).mahalanobis(values[left]))
            for values in (block.astype(np.float64) for block in blocks.values())
        ]
        np.testing.assert_allclose(part.blocks[4], expected[1], rtol=1e-9)
        np.testing.assert_allclose(part.combined, np.mean(expected, axis=0), rtol=1e-9)


def test_a_data_sets_own_validation_images_do_alone_where_they_suffice() -> None:
    parts, table = parts_of("threshold.fpr=0.2"), catalog(OWN)
    splits = split_catalog(table, parts.fold, 0.0, seed=0)
    assert parts.cross_fits(table, splits) == []
    wanting_more = replace(parts, threshold=replace(parts.threshold, fpr=0.1))
    cross = wanting_more.cross_fits(table, splits)
    for split in cross:
        assert set(split.validation) > set(splits[0].validation)  # those take part all the same
        assert len(split.test) == TEST
    assert set(np.concatenate([split.validation for split in cross])) == set(range(TRAIN + OWN))


def test_where_no_conformal_threshold_is_wanted_nothing_more_is_fitted() -> None:
    parts = parts_of("threshold=gaussian")
    splits = split_catalog(catalog(), parts.fold, 0.0, seed=0)
    assert parts.cross_fits(catalog(), splits) == []


def test_anomalous_images_that_are_fitted_calibrate_nothing() -> None:
    found = held_out(catalog(), contamination=0.09)
    images = np.concatenate([part.images for part in found])
    assert len(images) == TRAIN - 2
    assert images.max() < TRAIN


def test_fewer_images_that_admit_no_fit_leave_the_run_without_a_threshold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = ["covariance=empirical", "reduction=none", "blocks.indices=[1]"]
    blocks = {1: np.random.default_rng(0).standard_normal((29, 21)).astype(np.float32)}
    parts, table = parts_of(*settings), catalog()
    (split,) = split_catalog(table, parts.fold, 0.0, seed=0)
    evidence = Vectors(parts, table, blocks, split)
    cross = parts.cross_fits(table, [split])
    with caplog.at_level(logging.WARNING):
        assert cross_fit(evidence, parts.threshold, cross) == CrossFits()
    (message,) = caplog.messages
    assert "fit 1 of 5 that calibrate, on 18 images: block 1: covariance=empirical" in message
    required = replace(parts.threshold, required=True)
    with pytest.raises(UserError, match="fit 1 of 5 that calibrate"):
        cross_fit(evidence, required, cross)
