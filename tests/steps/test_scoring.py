from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import build, register
from gad_bench.data.split import CrossValidation, Full, KFold, Split, split_catalog
from gad_bench.evaluation import Scores
from gad_bench.gaussian import Combination, Detector
from gad_bench.steps import scoring
from gad_bench.steps.scoring import fit, score
from gad_bench.steps.training import Training

Array = NDArray[np.float32]

GOOD, ANOMALOUS = 150, 60
CHOICES = {
    group: sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
    for group in ("covariance", "detector", "combination")
}
CHOICES["detector"] = [  # of vectors without labels
    name
    for name in CHOICES["detector"]
    if "gad_bench.gaussian" in (config_folder() / "detector" / f"{name}.yaml").read_text()
    and not name.startswith("supervised_")
]


def choose(*overrides: str) -> tuple[Detector, Combination]:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", overrides=[*overrides])
    return build(config.detector), build(config.combination)


def catalog() -> pd.DataFrame:
    """100 good images to fit, 50 good and 60 anomalous ones to score."""
    label = np.repeat([0, 1], [GOOD, ANOMALOUS])
    return pd.DataFrame(
        {
            "path": [f"{number:03}.png" for number in range(GOOD + ANOMALOUS)],
            "split": np.where(np.arange(GOOD + ANOMALOUS) < 100, "train", "test"),
            "label": label,
            "defect": np.where(label, "scratch", "good"),
        }
    )


def features() -> dict[int, Array]:
    """Two blocks; an anomalous image differs along a direction of little variance."""
    generator = np.random.default_rng(0)
    blocks = {}
    for block, dimension in ((0, 6), (3, 9)):
        deviations = np.linspace(3, 0.5, dimension)
        values = generator.standard_normal((GOOD + ANOMALOUS, dimension)) * deviations
        values[GOOD:, -1] += 2.5
        blocks[block] = (values + 5).astype(np.float32)
    return blocks


def trained(*splits: Split, blocks: dict[int, Array] | None = None) -> Training:
    fitted = np.unique(np.concatenate([split.train for split in splits]))
    return Training(blocks or features(), images=np.arange(GOOD + ANOMALOUS), fitted=fitted)


def fit_and_score(
    blocks: dict[int, Array],
    training: Training,
    split: Split,
    detector: Detector,
    combination: Combination,
) -> Scores:
    return score(catalog(), blocks, fit(training, split, detector, combination), split)


def scored(*overrides: str, contamination: float = 0.0) -> Scores:
    (split,) = split_catalog(catalog(), Full(), contamination, seed=0)
    return fit_and_score(features(), trained(split), split, *choose(*overrides))


def separation(scores: Scores) -> float:
    """The share of pairs in the right order."""
    good, anomalous = (scores.combined[scores.labels == label] for label in (0, 1))
    return float(np.mean(anomalous[:, None] > good[None, :]))


@pytest.mark.parametrize("covariance", CHOICES["covariance"])
def test_every_estimator_is_contaminated_by_the_same_images(covariance: str) -> None:
    clean = scored(f"covariance={covariance}")
    mixed = scored(f"covariance={covariance}", contamination=0.2)
    assert len(mixed.labels) == len(clean.labels) - 20
    assert mixed.labels.sum() == ANOMALOUS - 20
    assert (mixed.labels == 0).sum() == 50
    assert np.isfinite(mixed.combined).all()
    assert not np.allclose(mixed.combined[:50], clean.combined[:50])  # of the same good images


@pytest.mark.parametrize("detector", CHOICES["detector"])
def test_every_detector_is_contaminated_too(detector: str) -> None:
    mixed = scored(f"detector={detector}", contamination=0.2)
    assert len(mixed.labels) == 90
    assert separation(mixed) > 0.5


def test_the_robust_estimator_suffers_least_from_contamination() -> None:
    robust = scored("covariance=min_cov_det", contamination=0.2)
    plain = scored("covariance=empirical", contamination=0.2)
    assert separation(robust) > separation(plain)


def test_a_contaminating_image_is_fitted() -> None:
    """The scores of what stays are those of a fit on exactly the rows that the split names."""
    (split,) = split_catalog(catalog(), Full(), 0.1, seed=0)
    detector, combination = choose("covariance=ledoit_wolf")
    result = fit_and_score(features(), trained(split), split, detector, combination)
    assert (split.train >= GOOD).sum() == 10
    scikit_learn = pytest.importorskip("sklearn.covariance")
    for block, values in features().items():
        fitted = scikit_learn.LedoitWolf().fit(values[split.train].astype(float))
        expected = np.sqrt(fitted.mahalanobis(values[split.test].astype(float)))
        np.testing.assert_allclose(result.blocks[block], expected, rtol=1e-8)


@pytest.mark.parametrize("combination", CHOICES["combination"])
def test_every_combination_keeps_the_blocks_scores(combination: str) -> None:
    result = scored(f"combination={combination}")
    expected = scored()
    for block in (0, 3):
        np.testing.assert_array_equal(result.blocks[block], expected.blocks[block])
    assert result.dimensions == {0: 6, 3: 9}
    assert separation(result) > 0.8


def test_the_mean_is_the_default() -> None:
    result = scored()
    np.testing.assert_allclose(result.combined, (result.blocks[0] + result.blocks[3]) / 2)


def test_concatenated_is_a_fit_of_all_blocks_as_one_vector() -> None:
    (split,) = split_catalog(catalog(), Full(), 0.0, seed=0)
    detector, mean = choose()
    joined = {7: np.concatenate(list(features().values()), axis=1)}
    training = trained(split, blocks=joined)
    expected = fit_and_score(joined, training, split, detector, mean).combined
    np.testing.assert_array_equal(scored("combination=concatenated").combined, expected)


def test_standardised_mean_is_by_the_fitted_images() -> None:
    (split,) = split_catalog(catalog(), Full(), 0.0, seed=0)
    on_fitted = Split(train=split.train, validation=split.validation, test=split.train)
    detector, mean = choose()
    fitted = fit_and_score(features(), trained(split), on_fitted, detector, mean).blocks
    tested = scored().blocks
    expected = np.mean([(tested[b] - fitted[b].mean()) / fitted[b].std() for b in (0, 3)], axis=0)
    result = scored("combination=standardised_mean")
    np.testing.assert_allclose(result.combined, expected, rtol=1e-10)


def test_scores_do_not_depend_on_how_many_rows_are_scored_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = scored().combined
    monkeypatch.setattr(scoring, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(scored().combined, expected, rtol=1e-12)


@pytest.mark.parametrize("combination", CHOICES["combination"])
def test_images_held_out_are_scored_as_test_images_are(combination: str) -> None:
    (split,) = split_catalog(catalog(), KFold(), 0.0, seed=0)
    swapped = Split(train=split.train, validation=split.test, test=split.validation)
    chosen = choose(f"combination={combination}")
    one, other = (
        fit_and_score(features(), trained(split), part, *chosen) for part in (split, swapped)
    )
    assert one.held_out is not None
    np.testing.assert_array_equal(one.held_out.images, split.validation)
    np.testing.assert_allclose(one.held_out.combined, other.combined, rtol=1e-12)
    for block, values in one.held_out.blocks.items():
        np.testing.assert_allclose(values, other.blocks[block], rtol=1e-12)


def test_images_held_out_change_no_score_of_a_test_image() -> None:
    """So they are unseen by the fit."""
    (split,) = split_catalog(catalog(), KFold(), 0.0, seed=0)
    changed = features()
    for values in changed.values():
        values[split.validation] *= 100
    before, after = (
        fit_and_score(blocks, trained(split, blocks=blocks), split, *choose())
        for blocks in (features(), changed)
    )
    np.testing.assert_allclose(after.combined, before.combined, rtol=1e-12)
    assert before.held_out is not None
    assert after.held_out is not None
    assert (after.held_out.combined > 10 * before.held_out.combined).all()


def test_no_image_is_held_out_where_all_are_fitted() -> None:
    assert scored().held_out is None


def test_only_an_unshrunk_covariance_tells_of_its_samples() -> None:
    assert scored("covariance=empirical").samples == {0: 100, 3: 100}
    assert scored("covariance=ledoit_wolf").samples == {}
    assert scored("detector=knn").samples == {}


def test_a_block_without_a_fit_is_named() -> None:
    blocks = features() | {5: np.ones((GOOD + ANOMALOUS, 4), dtype=np.float32)}
    (split,) = split_catalog(catalog(), Full(), 0.0, seed=0)
    with pytest.raises(
        UserError, match="block 5: no covariance matrix of 4 features comes of 100 samples"
    ):
        fit_and_score(blocks, trained(split, blocks=blocks), split, *choose())


def test_all_blocks_together_are_named_where_they_have_no_fit() -> None:
    (split,) = split_catalog(catalog(), Full(), 0.0, seed=0)
    twice = {block: features()[0] for block in (0, 1)}
    chosen = choose("covariance=empirical", "combination=concatenated")
    with pytest.raises(UserError, match=r"all blocks as one vector: .*some depend linearly"):
        fit_and_score(twice, trained(split, blocks=twice), split, *chosen)


def test_folds_that_share_their_work_score_as_they_do_alone() -> None:
    splits = split_catalog(catalog(), CrossValidation(), 0.0, seed=0)
    together = trained(*splits)
    detector, combination = choose("covariance=ledoit_wolf")
    for split in splits:
        shared = fit_and_score(features(), together, split, detector, combination)
        alone = fit_and_score(features(), trained(split), split, detector, combination)
        np.testing.assert_allclose(shared.combined, alone.combined, rtol=1e-10)
