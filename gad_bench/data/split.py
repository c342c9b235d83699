"""Which images are fitted, held out and scored: folds, shots and contamination."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.data.catalog import SUBSETS

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Row numbers of a catalog: fitted, held out of the fit, and scored."""

    train: Rows
    validation: Rows
    test: Rows


class Fold(Protocol):
    """A choice of the training images that are fitted."""

    @property
    def label(self) -> str:
        """The fold's name among its category's runs."""

    def splits(self, count: int) -> list[tuple[Rows, Rows]]:
        """Return, for each fold of the run, the positions 0 .. count - 1 as (fitted, held out).

        Raises:
            UserError: there are too few images.
        """

    def cross_fits(self, count: int) -> list[tuple[Rows, Rows]]:
        """Return, for fits that only calibrate, the fitted positions as (fitted, held out)."""


@runtime_checkable
class LabelledFold(Protocol):
    """A choice of images by their labels, of the test folder's too."""

    @property
    def label(self) -> str:
        """The fold's name among its category's runs."""

    def labelled_splits(self, labels: NDArray[np.integer]) -> list[Split]:
        """Split all of a category's images, whatever folder they are in.

        Args:
            labels: of all images, 1 for anomalous.

        Raises:
            UserError: there are too few images of a kind.
        """


@dataclass(frozen=True, kw_only=True)
class Full:
    """No fold: all training images are fitted; for calibration each is held out of a further fit.

    Attributes:
        calibration_folds: the number of those fits, each without its share of the images; with
            fewer images one for each of them. 0 for none, and so for no threshold.
        seed: of the shuffle.
    """

    calibration_folds: int = 5
    seed: int = 0

    label = "full"

    def __post_init__(self) -> None:
        if self.calibration_folds != 0 and self.calibration_folds < 2:
            raise UserError(
                f"fold.calibration_folds must be 0 or at least 2, not {self.calibration_folds}"
            )

    def splits(self, count: int) -> list[tuple[Rows, Rows]]:
        """Return all positions as fitted."""
        return [(np.arange(count), np.arange(0))]

    def cross_fits(self, count: int) -> list[tuple[Rows, Rows]]:
        """Return a k-fold's positions as (fitted, held out); none of fewer than two images."""
        folds = min(self.calibration_folds, count)
        return _folds(count, folds, self.seed) if folds > 1 else []


@dataclass(frozen=True, kw_only=True)
class KFold:
    """One fold of scikit-learn's `KFold(n_splits, shuffle=True, random_state=seed)`."""

    index: int = 0
    n_splits: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_count(self.n_splits)
        _check_index(self.index, self.n_splits)

    @property
    def label(self) -> str:
        """The fold's name among its category's runs."""
        return str(self.index)

    def splits(self, count: int) -> list[tuple[Rows, Rows]]:
        """Return the fold's positions as (fitted, held out), each in rising order.

        Raises:
            UserError: there are fewer images than folds.
        """
        return [_folds(count, self.n_splits, self.seed)[self.index]]

    def cross_fits(self, count: int) -> list[tuple[Rows, Rows]]:  # noqa: ARG002
        """Return none: the fold holds images out."""
        return []


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """Every fold of the same k-fold, one after the other, in one run."""

    n_splits: int = 5
    seed: int = 0

    label = "cross"

    def __post_init__(self) -> None:
        _check_count(self.n_splits)

    def splits(self, count: int) -> list[tuple[Rows, Rows]]:
        """Return each fold's positions as (fitted, held out), each in rising order.

        Raises:
            UserError: there are fewer images than folds.
        """
        return _folds(count, self.n_splits, self.seed)

    def cross_fits(self, count: int) -> list[tuple[Rows, Rows]]:  # noqa: ARG002
        """Return none: every fold holds images out."""
        return []


@dataclass(frozen=True, kw_only=True)
class Stratified:
    """One fold of all images, of the training and of the test folder, by label.

    The folds are those of scikit-learn's `StratifiedKFold(n_splits, shuffle=True,
    random_state=seed)`. One is tested, the fold before it (for the first: the last) is held out,
    the others are fitted. So were the images of the paper's classifier parted.
    """

    index: int = 0
    n_splits: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_count(self.n_splits, least=3)
        _check_index(self.index, self.n_splits)

    @property
    def label(self) -> str:
        """The fold's name among its category's runs."""
        return str(self.index)

    def labelled_splits(self, labels: NDArray[np.integer]) -> list[Split]:
        """Return the fold's rows, each part in rising order.

        Raises:
            UserError: there are fewer good or anomalous images than folds.
        """
        from sklearn.model_selection import StratifiedKFold

        for kind, count in (("good", np.sum(labels == 0)), ("anomalous", np.sum(labels == 1))):
            if count < self.n_splits:
                raise UserError(
                    f"{count} {kind} images cannot make {self.n_splits} stratified folds: "
                    "lower fold.n_splits"
                )
        folds = StratifiedKFold(self.n_splits, shuffle=True, random_state=self.seed)
        parts = [rows for _, rows in folds.split(np.zeros(len(labels)), labels)]
        test, validation = parts[self.index], parts[self.index - 1]
        rest = np.setdiff1d(np.arange(len(labels)), np.concatenate([test, validation]))
        return [Split(train=rest, validation=validation, test=test)]


def _check_count(n_splits: int, least: int = 2) -> None:
    if n_splits < least:
        raise UserError(f"fold.n_splits must be at least {least}, not {n_splits}")


def _check_index(index: int, n_splits: int) -> None:
    if not 0 <= index < n_splits:
        raise UserError(
            f"fold.index={index}: there is no such fold; "
            f"fold.n_splits={n_splits} has folds 0 to {n_splits - 1}"
        )


def _folds(count: int, n_splits: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Split as scikit-learn's `KFold(n_splits, shuffle=True, random_state=seed)` does.

    Written out because importing scikit-learn takes longer than a whole run from a warm store.
    """
    if count < n_splits:
        raise UserError(
            f"{count} training images cannot make {n_splits} folds: "
            "lower fold.n_splits or use fold=full"
        )
    shuffled = np.random.RandomState(seed).permutation(count)
    parts = [np.sort(part) for part in np.array_split(shuffled, n_splits)]
    return [(np.setdiff1d(np.arange(count), held_out), held_out) for held_out in parts]


def split_catalog(
    catalog: pd.DataFrame,
    fold: Fold | LabelledFold,
    share: float,
    seed: int,
    largest: float | None = None,
    shots: int | None = None,
) -> list[Split]:
    """Split a catalog's rows by each fold of a run; choose among the fitted ones; contaminate them.

    The data set's own validation images are held out in every fold, but for one by labels. Good
    images alone are fitted and held out: see `split_labelled` for a detector that learns from both.

    Raises:
        UserError: the fold, the shots or the contamination ask for more images than there are.
    """
    labels = catalog["label"].to_numpy()
    if isinstance(fold, LabelledFold):
        splits = [_good_alone(split, labels) for split in fold.labelled_splits(labels)]
    else:
        train, validation, test = (np.flatnonzero(catalog["split"] == part) for part in SUBSETS)
        splits = [
            Split(train[fitted], np.concatenate([train[held_out], validation]), test)
            for fitted, held_out in fold.splits(len(train))
        ]
    chosen = [choose(split, shots, seed) for split in splits]
    return [contaminate(split, labels, share, seed, largest) for split in chosen]


def choose(split: Split, shots: int | None, seed: int) -> Split:
    """Fit so many of the fitted images and do without the others, which are not held out either.

    Nested: with the same seed, fewer images are among more.

    Args:
        split: of the catalog's rows.
        shots: the number of images; None for all.
        seed: of the choice.

    Raises:
        UserError: there are fewer images.
    """
    if shots is None:
        return split
    if shots > len(split.train):
        raise UserError(
            f"shots={shots}: there are only {len(split.train)} images to fit; shots=null fits all"
        )
    chosen = np.random.default_rng(seed).permutation(split.train)[:shots]
    return replace(split, train=np.sort(chosen))


def split_labelled(
    catalog: pd.DataFrame, fold: Fold | LabelledFold, share: float, shots: int | None = None
) -> list[Split]:
    """Split a catalog's rows for a detector that learns from good and anomalous images.

    Raises:
        UserError: the fold has good images alone, anomalous ones are to be hidden among them, or
            so many good ones are to be chosen.
    """
    if not isinstance(fold, LabelledFold):
        raise UserError(
            "this detector is supervised, it learns from labels, and this fold fits good images "
            "alone: use fold=stratified"
        )
    if share > 0:
        raise UserError(
            f"contamination={share} hides anomalous images among good ones, which this detector "
            "tells apart by their labels: leave contamination=0"
        )
    if shots is not None:
        raise UserError(
            f"shots={shots} chooses among good images, and this detector learns from anomalous "
            "ones as well: leave shots=null"
        )
    return fold.labelled_splits(catalog["label"].to_numpy())


def _good_alone(split: Split, labels: NDArray[np.integer]) -> Split:
    """Leave the anomalous images out of what is fitted and held out."""
    train, validation = (rows[labels[rows] == 0] for rows in (split.train, split.validation))
    return Split(train=train, validation=validation, test=split.test)


def cross_fits(split: Split, labels: NDArray[np.integer], fold: Fold) -> list[Split]:
    """Return splits of a fold's fitted good images, each held out by one and fitted by the others.

    What the fold itself holds out or tests, all of them do. Anomalous images among the fitted ones
    stay in all fits and are never held out.
    """
    anomalous = labels[split.train] == 1
    good, moved = split.train[~anomalous], split.train[anomalous]
    return [
        Split(
            train=np.concatenate([good[fitted], moved]),
            validation=np.concatenate([good[held_out], split.validation]),
            test=split.test,
        )
        for fitted, held_out in fold.cross_fits(len(good))
    ]


def contaminate(
    split: Split,
    labels: NDArray[np.integer],
    share: float,
    seed: int,
    largest: float | None = None,
) -> Split:
    """Replace a share of the fitted images by anomalous test images, which leave the test set.

    Nested: with the same seed, a larger share replaces the same images and more. What a share does
    to a detector is the question of the paper's journal extension; how it is asked here is ours.

    Args:
        split: of the catalog's rows.
        labels: of all rows, 1 for an anomalous image.
        share: of the fitted images, in [0, 1).
        seed: of the images' choice.
        largest: the largest share that this one is compared with. What that would replace leaves
            the test set, so that all shares are scored on the same images; None for `share`.

    Raises:
        UserError: no anomalous image would be left to test on.
    """
    share_that_leaves = share if largest is None else largest
    wanted, leaving = (round(own * len(split.train)) for own in (share, share_that_leaves))
    if leaving == 0:
        return split
    anomalous = split.test[labels[split.test] == 1]
    if leaving >= len(anomalous):
        highest = (len(anomalous) - 1) / len(split.train)
        key = "contamination" if largest is None else "largest_contamination"
        raise UserError(
            f"{key}={share_that_leaves} takes {leaving} of the {len(anomalous)} anomalous test "
            f"images and leaves none to test on: ask for less than {max(highest, 0):.3f}"
        )
    generator = np.random.default_rng(seed)
    taken = generator.permutation(anomalous)[:leaving]
    kept = np.sort(generator.permutation(split.train)[wanted:])
    return Split(
        train=np.concatenate([kept, taken[:wanted]]),
        validation=split.validation,
        test=np.setdiff1d(split.test, taken),
    )
