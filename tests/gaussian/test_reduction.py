from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from gad_bench.base.errors import UserError
from gad_bench.gaussian.moments import Moments
from gad_bench.gaussian.reduction import (
    NoReduction,
    PrincipalComponents,
    RandomFeatures,
    RandomProjection,
    first_beyond,
)
from gad_bench.gaussian.samples import Samples

Array = NDArray[np.float64]
Pair = tuple[Array, Array]


def pca(threshold: float) -> PrincipalComponents:
    return PrincipalComponents(threshold=threshold, negated=False)


def npca(threshold: float) -> PrincipalComponents:
    return PrincipalComponents(threshold=threshold, negated=True)


def with_variances(*variances: float) -> Array:
    """Two samples an axis, at plus and minus, so that the covariance is exactly diagonal."""
    lengths = np.sqrt(np.array(variances) * len(variances))
    return np.concatenate([np.diag(lengths), -np.diag(lengths)])


def kept(reduction: PrincipalComponents, values: Array) -> list[int]:
    """The axes that a reduction keeps, in the order of its components."""
    directions = reduction.fit(Samples(values)).directions
    np.testing.assert_allclose(np.abs(directions).max(axis=0), 1)
    return [int(axis) for axis in np.abs(directions).argmax(axis=0)]


FIVE = with_variances(50, 30, 15, 4, 1)  # cumulative shares 0.50, 0.80, 0.95, 0.99, 1


@pytest.mark.parametrize(
    ("threshold", "leading", "last"),
    [
        (0.40, [0], [0, 1, 2, 3, 4]),  # i = 0: npca keeps all
        (0.60, [0, 1], [0, 1, 2, 3, 4]),  # i = 1
        (0.81, [0, 1, 2], [1, 2, 3, 4]),
        (0.94, [0, 1, 2], [1, 2, 3, 4]),
        (0.96, [0, 1, 2, 3], [2, 3, 4]),
        (0.995, [0, 1, 2, 3, 4], [3, 4]),
    ],
)
def test_the_papers_choice_of_components(
    threshold: float, leading: list[int], last: list[int]
) -> None:
    assert kept(pca(threshold), FIVE) == leading
    assert kept(npca(threshold), FIVE) == last


def test_the_share_must_be_exceeded_not_met() -> None:
    assert first_beyond(np.array([2.0, 1.0, 1.0]), 0.5) == 1
    assert first_beyond(np.array([2.0, 1.0, 1.0]), 0.75) == 2


def test_a_share_that_is_never_exceeded_keeps_all_for_pca_and_leaves_nothing_for_npca() -> None:
    threshold = float(np.nextafter(1, 0))
    values = with_variances(1, 1, 1, 1, 1, 1, 1 / 3, 1 / 7, 1 / 11, 1 / 13)
    assert first_beyond(Samples(values).spectrum.variances, threshold) is None
    assert pca(threshold).fit(Samples(values)).directions.shape == (10, 10)
    with pytest.raises(UserError, match="leaves npca nothing"):
        npca(threshold).fit(Samples(values))


@pytest.mark.parametrize("threshold", [0.5, 0.95, 0.99])
def test_projections_are_those_of_scikit_learn(threshold: float, fitted_and_tested: Pair) -> None:
    fitted, tested = fitted_and_tested
    theirs = PCA(svd_solver="full").fit(fitted)
    first = int(np.argmax(np.cumsum(theirs.explained_variance_ratio_) > threshold))
    expected = theirs.transform(tested)
    projected = pca(threshold).fit(Samples(fitted)).apply(tested)
    size = np.abs(expected[:, : first + 1]).max()
    assert projected.shape[1] == first + 1
    difference = np.abs(projected) - np.abs(expected[:, : first + 1])
    assert np.abs(difference).max() < 1e-8 * size


def test_leading_and_last_components_overlap_by_two() -> None:
    values = np.random.default_rng(0).standard_normal((60, 20)) @ np.diag(np.arange(1, 21))
    leading = pca(0.7).fit(Samples(values)).directions.shape[1]
    last = npca(0.7).fit(Samples(values)).directions.shape[1]
    assert leading + last == 20 + 2


def test_components_without_variance_are_in_neither() -> None:
    values = np.random.default_rng(1).standard_normal((10, 30))
    assert pca(0.999999).fit(Samples(values)).directions.shape == (30, 9)
    assert npca(0.01).fit(Samples(values)).directions.shape == (30, 9)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, 1.5])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(UserError, match=r"reduction.threshold must lie in \(0, 1\), not"):
        pca(threshold)


def test_samples_that_do_not_vary_are_refused() -> None:
    few = {"5 samples that do not vary enough": np.ones((5, 3)), "one sample": np.ones((1, 3))}
    for told, values in few.items():
        with pytest.raises(UserError, match=f"no components come of {told}"):
            npca(0.9).fit(Samples(values))


def test_random_features_are_some_of_the_features() -> None:
    values = np.random.default_rng(2).standard_normal((6, 40))
    chosen = RandomFeatures(dimensions=7, seed=1).fit(Samples(values))
    assert len(set(chosen.features)) == 7
    np.testing.assert_array_equal(chosen.apply(values), values[:, chosen.features])


def test_random_features_depend_on_the_seed_and_not_on_the_samples() -> None:
    def chosen(seed: int, filling: float) -> list[int]:
        samples = Samples(np.full((6, 40), filling))
        return list(RandomFeatures(dimensions=7, seed=seed).fit(samples).features)

    assert chosen(1, 0.0) == chosen(1, 1.0)
    assert chosen(1, 0.0) != chosen(2, 0.0)


def test_a_random_projection_keeps_lengths_on_average() -> None:
    values = np.random.default_rng(3).standard_normal((500, 60))
    samples = Samples(values)
    projection = RandomProjection(dimensions=15, seed=0).fit(samples)
    projected = projection.apply(values)
    np.testing.assert_allclose(
        projection.directions.T @ projection.directions, np.eye(15), atol=1e-12
    )
    ratio = np.mean(projected**2) / np.mean(values**2)
    assert ratio == pytest.approx(1, abs=0.05)


def test_a_random_projection_on_all_dimensions_keeps_every_distance() -> None:
    values = np.random.default_rng(4).standard_normal((9, 5))
    projected = RandomProjection(dimensions=99, seed=0).fit(Samples(values)).apply(values)
    np.testing.assert_allclose(
        np.linalg.norm(projected[0] - projected[1:], axis=1),
        np.linalg.norm(values[0] - values[1:], axis=1),
    )


@pytest.mark.parametrize("reduction", [RandomFeatures, RandomProjection])
def test_a_block_of_few_features_keeps_its_dimension(
    reduction: type[RandomFeatures | RandomProjection],
) -> None:
    values = np.ones((4, 24))
    projection = reduction(dimensions=100, seed=0).fit(Samples(values))
    assert projection.apply(values).shape == (4, 24)


@pytest.mark.parametrize("reduction", [RandomFeatures, RandomProjection])
def test_no_dimensions_are_refused(reduction: type[RandomFeatures | RandomProjection]) -> None:
    with pytest.raises(UserError, match=r"reduction\.dimensions must be at least 1, not 0"):
        reduction(dimensions=0, seed=0)


def test_no_reduction_is_none() -> None:
    values = np.random.default_rng(5).standard_normal((4, 3))
    assert NoReduction().fit(Samples(values)).apply(values) is values


def literal(threshold: float, negated: bool, precision: str = "float64") -> PrincipalComponents:
    return PrincipalComponents(
        threshold=threshold, negated=negated, edge="literal", precision=precision
    )


@pytest.mark.parametrize(
    ("threshold", "leading", "last"),
    [
        (0.40, [0], [4]),  # i = 0: the last component alone
        (0.60, [0, 1], [0, 1, 2, 3, 4]),
        (0.81, [0, 1, 2], [1, 2, 3, 4]),
        (0.995, [0, 1, 2, 3, 4], [3, 4]),
    ],
)
def test_the_literal_choice_of_components(
    threshold: float, leading: list[int], last: list[int]
) -> None:
    assert kept(literal(threshold, False), FIVE) == leading
    assert kept(literal(threshold, True), FIVE) == last


@pytest.mark.parametrize(("threshold", "negated"), [(0.6, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_literal_components_are_those_of_scikit_learn(
    shape: tuple[int, int], threshold: float, negated: bool
) -> None:
    values = np.random.default_rng(2).standard_normal(shape) * np.arange(1, shape[1] + 1)
    reference = PCA(svd_solver="full").fit(values)
    first = int(np.argmax(np.cumsum(reference.explained_variance_ratio_) > threshold))
    expected = reference.components_[first - 1 :] if negated else reference.components_[: first + 1]
    found = literal(threshold, negated).fit(Samples(values)).directions
    assert found.shape[1] == len(expected)
    varying = min(shape[0] - 1, shape[1]) - (first - 1 if negated else 0)
    overlap = np.abs(np.einsum("kd,dk->k", expected, found))[:varying]
    np.testing.assert_allclose(overlap, 1, atol=1e-9)


def test_a_share_that_is_never_exceeded_counts_as_the_first_component() -> None:
    values = with_variances(1, 1, 1, 1, 1, 1, 1 / 3, 1 / 7, 1 / 11, 1 / 13)
    threshold = float(np.nextafter(1, 0))
    assert literal(threshold, False).fit(Samples(values)).directions.shape == (10, 1)
    assert kept(literal(threshold, True), values) == [9]


def test_the_last_component_has_no_variance_where_samples_are_no_more_than_dimensions() -> None:
    values = np.random.default_rng(5).standard_normal((6, 20))
    directions = literal(0.9, True).fit(Samples(values)).directions
    spread = ((values - values.mean(0)) @ directions).std(axis=0)
    assert spread[-1] < 1e-12 < spread[-2]


def test_single_precision_changes_no_component_that_varies() -> None:
    values = np.random.default_rng(5).standard_normal((6, 20)).astype(np.float32)
    single = PrincipalComponents(threshold=0.5, negated=True, precision="float32")
    found = single.fit(Samples(values)).directions
    expected = npca(0.5).fit(Samples(values)).directions
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.abs(np.einsum("dk,dk->k", found, expected)), 1, atol=1e-5)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_samples_that_do_not_vary_have_no_literal_components(precision: str) -> None:
    with pytest.raises(UserError, match="no components come of 3 samples that do not vary enough"):
        literal(0.9, True, precision).fit(Samples(np.full((3, 4), 0.1)))


def test_moments_alone_have_no_literal_components() -> None:
    with pytest.raises(UserError, match="need the vectors, not their moments alone"):
        literal(0.9, True).fit(Moments.of(FIVE))


@pytest.mark.parametrize(("key", "value"), [("edge", "clipped"), ("precision", "float16")])
def test_an_unknown_way_is_refused(key: str, value: str) -> None:
    with pytest.raises(UserError, match=rf"reduction\.{key}={value} is unknown: choose one of"):
        PrincipalComponents(threshold=0.9, negated=True, **{key: value})
