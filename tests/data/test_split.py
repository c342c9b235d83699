import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold as ReferenceKFold
from sklearn.model_selection import StratifiedKFold

from gad_bench.base.errors import UserError
from gad_bench.data.split import (
    CrossValidation,
    Full,
    KFold,
    Split,
    Stratified,
    choose,
    contaminate,
    cross_fits,
    split_catalog,
    split_labelled,
)


@pytest.mark.parametrize("count", [5, 17, 209])
def test_folds_are_those_of_scikit_learn(count: int) -> None:
    reference = ReferenceKFold(5, shuffle=True, random_state=0).split(np.zeros(count))
    for index, (expected_fitted, expected_held_out) in enumerate(reference):
        ((fitted, held_out),) = KFold(index=index).splits(count)
        np.testing.assert_array_equal(fitted, expected_fitted)
        np.testing.assert_array_equal(held_out, expected_held_out)


def test_cross_validation_is_every_fold_in_turn() -> None:
    for index, (fitted, held_out) in enumerate(CrossValidation(seed=3).splits(17)):
        ((expected_fitted, expected_held_out),) = KFold(index=index, seed=3).splits(17)
        np.testing.assert_array_equal(fitted, expected_fitted)
        np.testing.assert_array_equal(held_out, expected_held_out)


def test_full_fits_every_image() -> None:
    ((fitted, held_out),) = Full().splits(7)
    np.testing.assert_array_equal(fitted, np.arange(7))
    assert len(held_out) == 0


@pytest.mark.parametrize(("count", "fits"), [(25, 5), (5, 5), (3, 3), (2, 2), (1, 0)])
def test_full_holds_each_image_out_of_one_further_fit(count: int, fits: int) -> None:
    parts = Full(seed=4).cross_fits(count)
    assert len(parts) == fits
    for fitted, held_out in parts:
        assert set(fitted) == set(range(count)) - set(held_out)
    if parts:
        everyone = np.concatenate([held_out for _, held_out in parts])
        np.testing.assert_array_equal(np.sort(everyone), np.arange(count))
    assert Full(calibration_folds=0).cross_fits(count) == []
    assert KFold().cross_fits(count) == CrossValidation().cross_fits(count) == []


def test_anomalous_images_among_the_fitted_ones_stay_in_each_fit() -> None:
    labels = np.array([0] * 12 + [1] * 4)
    split = contaminate(Split(np.arange(10), np.arange(0), np.arange(10, 16)), labels, 0.2, seed=0)
    parts = cross_fits(split, labels, Full(calibration_folds=4))
    moved = set(split.train) - set(range(10))
    assert len(moved) == 2
    for part in parts:
        assert moved <= set(part.train)
        assert set(part.train) | set(part.validation) == set(split.train)
        np.testing.assert_array_equal(part.test, split.test)
    held_out = np.concatenate([part.validation for part in parts])
    assert sorted(held_out) == sorted(set(split.train) - moved)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"index": 5}, "fold.index=5: there is no such fold; fold.n_splits=5 has folds 0 to 4"),
        ({"index": -1}, "fold.index=-1: there is no such fold"),
        ({"n_splits": 1}, "fold.n_splits must be at least 2, not 1"),
    ],
)
def test_impossible_folds_are_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        KFold(**values)


def test_fewer_images_than_folds_are_refused() -> None:
    with pytest.raises(UserError, match="4 training images cannot make 5 folds"):
        KFold().splits(4)


def test_test_set_is_the_whole_test_folder_in_every_fold() -> None:
    catalog = pd.DataFrame({"split": ["train"] * 10 + ["test"] * 4, "label": [0] * 12 + [1] * 2})
    for index in range(5):
        (split,) = split_catalog(catalog, KFold(index=index), share=0.0, seed=0)
        np.testing.assert_array_equal(split.test, np.arange(10, 14))
        assert len(split.train) == 8
        assert len(split.validation) == 2


def test_the_data_sets_own_validation_images_are_held_out_in_every_fold() -> None:
    parts = ["train"] * 10 + ["validation"] * 3 + ["test"] * 2
    catalog = pd.DataFrame({"split": parts, "label": [0] * 14 + [1]})
    for fold in (KFold(index=0), KFold(index=4), Full()):
        (split,) = split_catalog(catalog, fold, share=0.0, seed=0)
        assert set(split.train) <= set(range(10))
        assert {10, 11, 12} <= set(split.validation)
        np.testing.assert_array_equal(split.test, [13, 14])


SPLIT = Split(train=np.arange(40), validation=np.arange(40, 50), test=np.arange(50, 100))
LABELS = np.array([0] * 70 + [1] * 30)


def test_contamination_swaps_good_training_images_for_anomalous_test_images() -> None:
    mixed = contaminate(SPLIT, LABELS, share=0.25, seed=3)
    assert len(mixed.train) == 40
    assert LABELS[mixed.train].sum() == 10
    assert LABELS[mixed.test].sum() == 20
    assert not set(mixed.train) & set(mixed.test)
    np.testing.assert_array_equal(mixed.validation, SPLIT.validation)


def test_a_larger_contamination_contains_the_smaller() -> None:
    small = contaminate(SPLIT, LABELS, share=0.1, seed=3)
    large = contaminate(SPLIT, LABELS, share=0.5, seed=3)
    assert set(SPLIT.train) - set(small.train) < set(SPLIT.train) - set(large.train)
    assert set(small.train) & set(SPLIT.test) < set(large.train) & set(SPLIT.test)


def test_all_shares_up_to_the_largest_are_scored_on_the_images_that_it_leaves() -> None:
    splits = [contaminate(SPLIT, LABELS, share, 3, largest=0.5) for share in (0.0, 0.25, 0.5)]
    assert [int(LABELS[split.train].sum()) for split in splits] == [0, 10, 20]
    alone = contaminate(SPLIT, LABELS, share=0.5, seed=3)
    for split in splits:
        np.testing.assert_array_equal(split.test, alone.test)
    np.testing.assert_array_equal(splits[2].train, alone.train)
    np.testing.assert_array_equal(splits[0].train, SPLIT.train)


def test_the_largest_share_changes_no_training_images() -> None:
    alone, compared = (contaminate(SPLIT, LABELS, 0.25, 3, largest=own) for own in (None, 0.5))
    np.testing.assert_array_equal(alone.train, compared.train)


def test_a_largest_share_that_leaves_no_anomalous_test_image_is_refused_at_each_share() -> None:
    with pytest.raises(UserError, match=r"largest_contamination=0\.75 .* less than 0\.725"):
        contaminate(SPLIT, LABELS, share=0.0, seed=0, largest=0.75)


def test_fewer_shots_are_among_more_and_what_is_not_chosen_is_not_used() -> None:
    few, more, other = (choose(SPLIT, n, seed) for n, seed in ((4, 3), (16, 3), (4, 4)))
    assert (len(few.train), len(more.train)) == (4, 16)
    assert set(few.train) < set(more.train) < set(SPLIT.train)
    assert set(few.train) != set(other.train)
    np.testing.assert_array_equal(few.validation, SPLIT.validation)
    np.testing.assert_array_equal(few.test, SPLIT.test)
    assert choose(SPLIT, None, seed=3) is SPLIT
    assert set(choose(SPLIT, 40, seed=3).train) == set(SPLIT.train)


def test_more_shots_than_images_are_refused() -> None:
    with pytest.raises(UserError, match="shots=41: there are only 40 images to fit"):
        choose(SPLIT, 41, seed=0)


def test_a_detector_that_learns_from_both_takes_no_shots() -> None:
    with pytest.raises(UserError, match="shots=2 chooses among good images"):
        split_labelled(labelled_catalog(23, 12), Stratified(), 0.0, shots=2)


def test_shots_are_chosen_before_some_are_contaminated() -> None:
    catalog = pd.DataFrame({"split": ["train"] * 10 + ["test"] * 6, "label": [0] * 12 + [1] * 4})
    (split,) = split_catalog(catalog, Full(), share=0.5, seed=0, shots=4)
    assert [(split.train < 10).sum(), (split.train >= 12).sum()] == [2, 2]


def test_contamination_depends_on_the_seed_alone() -> None:
    first, again, other = (contaminate(SPLIT, LABELS, share=0.25, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.train, again.train)
    assert set(first.train) != set(other.train)


def test_no_contamination_changes_nothing() -> None:
    assert contaminate(SPLIT, LABELS, share=0.0, seed=0) is SPLIT


def test_contamination_that_leaves_no_anomalous_test_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"leaves none to test on: ask for less than 0\.725"):
        contaminate(SPLIT, LABELS, share=0.75, seed=0)


def labelled_catalog(good: int = 23, anomalous: int = 11) -> pd.DataFrame:
    """Good images in all three folders, anomalous ones in the test folder."""
    folders = ["train"] * (good - 8) + ["validation"] * 3 + ["test"] * (5 + anomalous)
    return pd.DataFrame({"split": folders, "label": [0] * good + [1] * anomalous})


def test_stratified_folds_are_those_of_scikit_learn_used_three_ways() -> None:
    catalog = labelled_catalog()
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    reference = [test for _, test in folds.split(catalog, catalog["label"])]
    for index in range(5):
        (split,) = split_labelled(catalog, Stratified(index=index), 0.0)
        np.testing.assert_array_equal(split.test, reference[index])
        np.testing.assert_array_equal(split.validation, reference[(index - 1) % 5])
        rest = [reference[n] for n in range(5) if n not in (index, (index - 1) % 5)]
        np.testing.assert_array_equal(split.train, np.sort(np.concatenate(rest)))


def test_without_labels_a_stratified_fold_fits_its_good_images_and_tests_the_same() -> None:
    catalog = labelled_catalog()
    good = (catalog["label"] == 0).to_numpy()
    fold = Stratified(index=2, n_splits=4, seed=7)
    (labelled,), (alone,) = split_labelled(catalog, fold, 0.0), split_catalog(catalog, fold, 0.0, 0)
    np.testing.assert_array_equal(alone.test, labelled.test)
    np.testing.assert_array_equal(alone.train, labelled.train[good[labelled.train]])
    np.testing.assert_array_equal(alone.validation, labelled.validation[good[labelled.validation]])
    (mixed,) = split_catalog(catalog, fold, 0.1, seed=0)
    assert set(mixed.train) - set(alone.train) == set(alone.test) - set(mixed.test) != set()


def test_fewer_images_of_a_kind_than_stratified_folds_are_refused() -> None:
    with pytest.raises(UserError, match="4 anomalous images cannot make 5 stratified folds"):
        split_labelled(labelled_catalog(23, 4), Stratified(), 0.0)


def test_two_stratified_folds_leave_none_to_fit_and_are_refused() -> None:
    with pytest.raises(UserError, match=r"fold\.n_splits must be at least 3, not 2"):
        Stratified(n_splits=2)
    with pytest.raises(UserError, match=r"fold\.index=5: there is no such fold"):
        Stratified(index=5)
