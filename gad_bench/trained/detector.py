"""Detectors that are trained on images: what they share, and what they come to."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Backbone, Pixels
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.trained.schedule import Lesson, Schedule, Trained

if TYPE_CHECKING:
    from gad_bench.trained.trainee import Trainee

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a trained network says of some images.

    Attributes:
        scores: float64 [images], higher is more anomalous.
        maps: errors at each pixel, float32 [images, S, S]; None for a network that has none.
    """

    scores: Vector
    maps: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """What a network gives back of images.

    Attributes:
        images: uint8 [images, S, S, 3] RGB.
        errors: at each pixel, float32 [images, S, S].
    """

    images: Pixels
    errors: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ImageDetector(Schedule, ABC):
    """What all detectors that are trained on images share; its values say how.

    Attributes:
        supervised: whether it learns from labelled anomalous images.
        localises: whether its judgement has maps.
    """

    supervised: ClassVar[bool]
    localises: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if find_spec("lightning") is None:
            raise UserError("this detector is trained by Lightning: pip install 'gad-bench[train]'")

    @property
    def needs_smallest_defect(self) -> bool:
        """Whether its scores depend on how small the category's defects are."""
        return False

    def facts(self) -> dict[str, Any]:
        """Return, as JSON values, what of the detector changes the trained weights."""
        kind = type(self)
        return {"kind": f"{kind.__module__}.{kind.__qualname__}", **dataclasses.asdict(self)}

    def fit(self, backbone: Backbone, lesson: Lesson, device: str, folder: Path) -> Trained:
        """Train the network, or go on where an earlier process was killed, or find it done.

        Args:
            backbone: where the network begins; one of timm's.
            lesson: the images.
            device: where it is trained, as `resolve_device` names it.
            folder: what it is kept in, for nothing but this network on these images.

        Raises:
            UserError: the backbone or the images admit no training, or it diverged.
        """
        network = self.network(self.trainable(backbone))
        self.check(lesson)
        from gad_bench.trained.fitting import fit_network

        return fit_network(self, network, lesson, device, folder)

    def trainable(self, backbone: Backbone) -> TimmBackbone:
        """Return the backbone as one whose network can be trained.

        Raises:
            UserError: it is of another kind.
        """
        if not isinstance(backbone, TimmBackbone):
            raise UserError("this detector trains a network of timm: choose such a backbone=")
        return backbone

    def check(self, lesson: Lesson) -> None:
        """Refuse images that the network cannot be trained on.

        Raises:
            UserError: says what is missing.
        """
        if len(lesson.train) < 2:
            raise UserError(f"{len(lesson.train)} images are too few to train a network on")

    @abstractmethod
    def network(self, backbone: TimmBackbone) -> Trainee:
        """Build the network before its training; the same for the same seed.

        Raises:
            UserError: the weights do not fit.
        """

    @abstractmethod
    def judge(
        self, trained: Trained, pixels: Pixels, device: str, smallest_defect: float | None
    ) -> Judgement:
        """Judge images uint8 [images, S, S, 3].

        Args:
            trained: by `fit`.
            pixels: of the images.
            device: where the network runs.
            smallest_defect: the category's, as a share of an image's area; None if nobody knows
                or `needs_smallest_defect` does not ask for it.
        """

    def reconstruct(
        self,
        trained: Trained,  # noqa: ARG002
        pixels: Pixels,  # noqa: ARG002
        device: str,  # noqa: ARG002
    ) -> Reconstructed | None:
        """Give images uint8 [images, S, S, 3] back; None for a network that does not."""
        return None
