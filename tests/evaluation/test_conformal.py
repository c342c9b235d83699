from __future__ import annotations

import json
import math
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from gad_bench.base.errors import UserError
from gad_bench.evaluation.conformal import Calibration, CrossCalibration

Vector = NDArray[np.float64]

values = st.integers(-3, 3).map(float) | st.floats(-1e6, 1e6)  # with and without ties
scores_of_some = st.lists(values, min_size=1, max_size=30)
percents = st.integers(1, 99)


@given(scores_of_some, scores_of_some)
def test_a_p_value_is_the_share_of_scores_at_or_above_its_own(
    held_out: list[float], tested: list[float]
) -> None:
    found = Calibration.of(held_out).p_values(tested)
    expected = [
        (1 + sum(score >= new for score in held_out)) / (len(held_out) + 1) for new in tested
    ]
    np.testing.assert_array_equal(found, expected)


@given(scores_of_some, percents, values)
def test_what_lies_above_the_threshold_is_what_has_such_a_p_value(
    held_out: list[float], percent: int, new: float
) -> None:
    calibration, fpr = Calibration.of(held_out), percent / 100
    (p_value,) = calibration.p_values([new])
    assert (new > calibration.threshold(fpr)) == (p_value <= fpr)


@given(scores_of_some, st.integers(1, 30), values)
def test_so_it_is_for_a_rate_that_is_a_share_of_as_many_images(
    held_out: list[float], rank: int, new: float
) -> None:
    calibration = Calibration.of(held_out)
    rate = min(rank, len(held_out)) / (len(held_out) + 1)  # no float is 1/3
    (p_value,) = calibration.p_values([new])
    assert (new > calibration.threshold(rate)) == (p_value <= rate)
    assert calibration.threshold(rate) == sorted(held_out)[-min(rank, len(held_out))]


@pytest.mark.parametrize(("images", "fpr", "rate"), [(19, 0.05, 0.05), (9, 0.05, 0.1)])
def test_too_few_images_admit_a_higher_rate(images: int, fpr: float, rate: float) -> None:
    assert Calibration.of(np.arange(images)).admitted(fpr) == rate
    folds = np.array_split(np.arange(images), 3)
    assert CrossCalibration.of(folds, folds).admitted(fpr) == rate


@given(scores_of_some, percents)
def test_the_threshold_is_the_score_of_the_finite_sample_rank(
    held_out: list[float], percent: int
) -> None:
    rank = math.ceil((len(held_out) + 1) * (1 - Fraction(percent, 100)))
    expected = sorted(held_out)[rank - 1] if rank <= len(held_out) else math.inf
    assert Calibration.of(held_out).threshold(percent / 100) == expected


@given(st.lists(values, min_size=2, max_size=20), percents)
def test_of_exchangeable_scores_no_more_than_the_promised_share_is_flagged(
    scores: list[float], percent: int
) -> None:
    """Each of the scores in turn is the new one: the mean over all orders, ties or none."""
    p_values = [
        Calibration.of(scores[:i] + scores[i + 1 :]).p_values([score])[0]
        for i, score in enumerate(scores)
    ]
    assert np.mean(np.array(p_values) <= percent / 100) <= percent / 100


@pytest.mark.parametrize(("images", "fpr"), [(1, 0.49), (18, 0.05), (98, 0.01), (0, 0.5)])
def test_too_few_images_give_an_infinite_threshold(images: int, fpr: float) -> None:
    calibration = Calibration.of(np.arange(images))
    assert calibration.threshold(fpr) == math.inf
    assert calibration.lowest_rate > fpr
    assert calibration.rate_interval(fpr) == (0, 0)
    assert (calibration.p_values([1e9]) > fpr).all()


@pytest.mark.parametrize(("images", "fpr"), [(1, 0.5), (19, 0.05), (99, 0.01)])
def test_just_enough_images_give_the_highest_score(images: int, fpr: float) -> None:
    calibration = Calibration.of(np.arange(images))
    assert calibration.threshold(fpr) == images - 1
    assert calibration.lowest_rate <= fpr


def test_the_promise_holds_over_draws_and_the_rate_varies_as_its_interval_says() -> None:
    generator = np.random.default_rng(0)
    fpr, images, draws = 0.1, 34, 4000
    rates = np.array(
        [
            stats.norm.sf(Calibration.of(generator.standard_normal(images)).threshold(fpr))
            for _ in range(draws)
        ]
    )
    exact = 3 / 35  # floor((34 + 1) 0.1) / (34 + 1)
    assert rates.mean() == pytest.approx(exact, abs=4 * rates.std() / np.sqrt(draws))
    low, high = Calibration.of(np.arange(images)).rate_interval(fpr)
    assert (low, high) == pytest.approx(stats.beta.interval(0.95, 3, 32))
    assert np.mean((rates > low) & (rates < high)) == pytest.approx(0.95, abs=0.015)


def test_all_flagged_is_certain() -> None:
    assert Calibration.of([1.0, 2.0]).rate_interval(1.0) == (1, 1)


def test_a_calibration_is_kept_as_json() -> None:
    calibration = Calibration.of([3.0, 1.0, 2.5])
    kept = json.loads(json.dumps(asdict(calibration)))
    assert Calibration(tuple(kept["scores"])) == calibration


def test_a_score_that_is_not_a_number_has_no_p_value() -> None:
    calibration = Calibration.of([1.0, 2.0])
    with pytest.raises(UserError, match="not a number"):
        Calibration.of([1.0, np.nan])
    with pytest.raises(UserError, match="not a number"):
        calibration.p_values([np.nan])
    with pytest.raises(UserError, match="not a number"):
        CrossCalibration.of([np.array([0]), np.array([1])], [[np.nan], [1.0]])


def cross_by_hand(
    images: list[list[int]], held_out: list[list[float]], tested: list[list[float]]
) -> list[float]:
    """Cross-conformal p-values, an image held out and a test image at a time."""
    everyone = {image for fold in images for image in fold}
    found = []
    for new in range(len(tested[0])):
        beaten = Fraction(0)
        for image in everyone:
            folds = [fold for fold, members in enumerate(images) if image in members]
            wins = [
                held_out[fold][images[fold].index(image)] >= tested[fold][new] for fold in folds
            ]
            beaten += Fraction(sum(wins), len(folds))
        found.append(float((1 + beaten) / (len(everyone) + 1)))
    return found


@given(st.data(), st.integers(2, 4), st.integers(0, 3))
def test_cross_conformal_compares_each_image_by_the_folds_that_hold_it_out(
    data: st.DataObject, folds: int, shared: int
) -> None:
    sizes = [data.draw(st.integers(1, 4)) for _ in range(folds)]
    starts = np.cumsum([0, *sizes])
    own = list(range(100, 100 + shared))  # a data set's own validation images
    images = [[*range(starts[k], starts[k + 1]), *own] for k in range(folds)]
    held_out = [
        data.draw(st.lists(values, min_size=len(part), max_size=len(part))) for part in images
    ]
    tested = [data.draw(st.lists(values, min_size=3, max_size=3)) for _ in range(folds)]
    calibration = CrossCalibration.of([np.array(part) for part in images], held_out)
    assert calibration.images == starts[-1] + shared
    assert calibration.shared == bool(shared)
    expected = cross_by_hand(images, held_out, tested)
    np.testing.assert_allclose(calibration.p_values(tested), expected, rtol=1e-13)


def test_folds_of_one_model_are_split_conformal() -> None:
    generator = np.random.default_rng(0)
    scores, tested = generator.standard_normal(30), generator.standard_normal(9)
    parts = np.array_split(np.arange(30), 5)
    crossed = CrossCalibration.of(parts, [scores[part] for part in parts])
    np.testing.assert_allclose(
        crossed.p_values([tested] * 5), Calibration.of(scores).p_values(tested), rtol=1e-14
    )


@pytest.mark.parametrize("folds", [2, 5, 20])
def test_the_promise_of_cross_conformal_is_the_published_one(folds: int) -> None:
    images = 100
    parts = np.array_split(np.arange(images), folds)
    calibration = CrossCalibration.of(parts, [part.astype(float) for part in parts])
    for fpr in (0.01, 0.1):
        expected = 2 * fpr + 2 * (1 - fpr) * (1 - 1 / folds) / (images / folds + 1)
        assert calibration.promise(fpr) == pytest.approx(expected)
    assert calibration.promise(0.9) == 1


def cross_conformal_p_value(generator: np.random.Generator, own: int) -> float:
    """Fit the distance from the mean on each fold of few vectors, all drawn alike."""
    vectors, dimension, folds = 20, 8, 4
    drawn = generator.standard_normal((vectors + own + 1, dimension))
    parts = np.array_split(generator.permutation(vectors), folds)
    held_out, tested = [], []
    for part in parts:
        mean = np.delete(drawn[:vectors], part, axis=0).mean(axis=0)
        distances = np.linalg.norm(drawn - mean, axis=1)
        held_out.append(distances[[*part, *range(vectors, vectors + own)]])
        tested.append(distances[-1:])
    images = [np.array([*part, *range(vectors, vectors + own)]) for part in parts]
    return float(CrossCalibration.of(images, held_out).p_values(tested)[0])


@pytest.mark.parametrize("own", [0, 5])
def test_cross_conformal_keeps_near_the_wanted_rate_and_below_its_promise(own: int) -> None:
    generator = np.random.default_rng(0)
    p_values = np.array([cross_conformal_p_value(generator, own) for _ in range(3000)])
    for fpr in (0.05, 0.2, 0.5):
        assert np.mean(p_values <= fpr) == pytest.approx(fpr, abs=0.035)


def test_folds_that_disagree_wholly_stay_below_the_promise_and_may_exceed_the_rate() -> None:
    """The case against mere fpr: the worst dependence of the folds' p-values that one can build.

    A fold's p-value is uniform, but low in one of two folds where it is high in the other, unless
    it lies about 1/2 fpr .. 3/2 fpr, where the mean of both is fpr.
    """
    generator = np.random.default_rng(0)
    each, fpr, draws = 999, 0.1, 4000
    uniform = generator.random(draws)
    mirrored = np.where(uniform < 2 * fpr, 2 * fpr - uniform, uniform)
    scores = np.arange(each) / each
    images = [np.arange(each), np.arange(each, 2 * each)]
    calibration = CrossCalibration.of(images, [scores, scores])
    p_values = calibration.p_values([1 - uniform, 1 - mirrored])
    rate = np.mean(p_values <= fpr + 0.002)
    assert rate > 1.8 * fpr
    assert rate < calibration.promise(fpr + 0.002) + 3 * np.sqrt(0.2 * 0.8 / draws)
