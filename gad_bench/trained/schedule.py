"""How a network is trained, on what, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Pixels

if TYPE_CHECKING:
    from gad_bench.trained.trainee import Trainee

RECORD = "training.json"  # in a training's folder: what makes it finished


def is_finished(folder: Path) -> bool:
    """Tell whether a training's folder holds its end."""
    return (folder / RECORD).is_file()


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast a network learns.

    Attributes:
        epochs: the most that are trained.
        batch_size: images a step.
        learning_rate: of Adam.
        patience: epochs without a better validation before training stops.
        seed: of the new layers' weights and of the images' order.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    seed: int

    def __post_init__(self) -> None:
        for key in ("epochs", "batch_size", "patience"):
            if getattr(self, key) < 1:
                raise UserError(f"detector.{key} must be at least 1, not {getattr(self, key)}")
        if not 0 < self.learning_rate < np.inf:
            raise UserError(f"detector.learning_rate must be more than 0, not {self.learning_rate}")


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a network is trained on and validated by.

    Attributes:
        train: uint8 [images, S, S, 3] RGB.
        train_labels: [images], 1 for anomalous.
        validation: as train.
        validation_labels: as train_labels.
    """

    train: Pixels
    train_labels: NDArray[np.integer]
    validation: Pixels
    validation_labels: NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """How a training went.

    Attributes:
        values: one an epoch, by name: training_loss, validation_loss and, where the images held out
            are of both kinds, validation_auroc.
        best_epoch: whose weights were kept, numbered from 0.
    """

    values: Mapping[str, Sequence[float]]
    best_epoch: int


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network, its best weights in it.

    Attributes:
        network: in evaluation mode, on the CPU.
        curves: how it was trained.
    """

    network: Trainee
    curves: Curves
