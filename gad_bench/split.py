"""Which images are fitted, held out and scored: folds and contamination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.data.catalog import SPLITS
from gad_bench.errors import UserError

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

    def split(self, count: int) -> tuple[Rows, Rows]:
        """Return the positions 0 .. count - 1 as (fitted, held out), each in rising order."""


@dataclass(frozen=True, kw_only=True)
class Full:
    """No fold: all training images are fitted."""

    label = "full"

    def split(self, count: int) -> tuple[Rows, Rows]:
        """Return the positions 0 .. count - 1 as (fitted, held out)."""
        return np.arange(count), np.arange(0)


@dataclass(frozen=True, kw_only=True)
class KFold:
    """One fold of scikit-learn's `KFold(n_splits, shuffle=True, random_state=seed)`.

    Written out because importing scikit-learn takes longer than a whole run from a warm store.
    """

    index: int = 0
    n_splits: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_splits < 2:
            raise UserError(f"fold.n_splits must be at least 2, not {self.n_splits}")
        if not 0 <= self.index < self.n_splits:
            raise UserError(
                f"fold.index={self.index}: there is no such fold; "
                f"fold.n_splits={self.n_splits} has folds 0 to {self.n_splits - 1}"
            )

    @property
    def label(self) -> str:
        """The fold's name among its category's runs."""
        return str(self.index)

    def split(self, count: int) -> tuple[Rows, Rows]:
        """Return the positions 0 .. count - 1 as (fitted, held out), each in rising order.

        Raises:
            UserError: there are fewer images than folds.
        """
        if count < self.n_splits:
            raise UserError(
                f"{count} training images cannot make {self.n_splits} folds: "
                "lower fold.n_splits or use fold=full"
            )
        shuffled = np.random.RandomState(self.seed).permutation(count)
        held_out = np.sort(np.array_split(shuffled, self.n_splits)[self.index])
        return np.setdiff1d(np.arange(count), held_out), held_out


def split_catalog(catalog: pd.DataFrame, fold: Fold, share: float, seed: int) -> Split:
    """Split a catalog's rows by fold, then contaminate the fitted part.

    The data set's own validation images are held out in every fold.

    Raises:
        UserError: the fold or the contamination asks for more images than there are.
    """
    train, validation, test = (np.flatnonzero(catalog["split"] == part) for part in SPLITS)
    fitted, held_out = fold.split(len(train))
    split = Split(train[fitted], np.concatenate([train[held_out], validation]), test)
    return contaminate(split, catalog["label"].to_numpy(), share, seed)


def contaminate(split: Split, labels: NDArray[np.integer], share: float, seed: int) -> Split:
    """Replace a share of the fitted images by anomalous test images, which leave the test set.

    Nested: with the same seed, a larger share replaces the same images and more.
    Source: Rippel et al., IEEE TIM 2021.

    Raises:
        UserError: no anomalous image would be left to test on.
    """
    wanted = round(share * len(split.train))
    if wanted == 0:
        return split
    anomalous = split.test[labels[split.test] == 1]
    if wanted >= len(anomalous):
        highest = (len(anomalous) - 1) / len(split.train)
        raise UserError(
            f"contamination={share} takes {wanted} of the {len(anomalous)} anomalous test images "
            f"and leaves none to test on: ask for less than {max(highest, 0):.3f}"
        )
    generator = np.random.default_rng(seed)
    moved = generator.permutation(anomalous)[:wanted]
    kept = np.sort(generator.permutation(split.train)[wanted:])
    return Split(
        train=np.concatenate([kept, moved]),
        validation=split.validation,
        test=np.setdiff1d(split.test, moved),
    )
