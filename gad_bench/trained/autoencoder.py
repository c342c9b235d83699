"""A convolutional autoencoder: what does ImageNet buy?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gad_bench.base.errors import UserError, require_choice
from gad_bench.features.interface import Backbone, Pixels, square_side
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.trained.detector import ImageDetector, Judgement, Reconstructed
from gad_bench.trained.schedule import Trained
from gad_bench.trained.weak import weak_score

if TYPE_CHECKING:
    from gad_bench.trained.autoencoder_network import AutoencoderNetwork

L1, MSE = "l1", "mse"
FULL, WEAK = "full", "weak"
STRIDE = 32  # of a ResNet: the side of its last map is the image's divided by this


@dataclass(frozen=True, kw_only=True)
class Autoencoder(ImageDetector):
    """A ResNet-18 or -34 down to a few latent values, and its mirror back to the image.

    It is trained to give good images back; what it cannot give back it takes for anomalous. The
    best epoch is that of the lowest loss on the images held out.

    Attributes:
        latent: values that an image is squeezed into.
        loss: "l1", the absolute difference of pixels in [0, 1], or "mse", its square.
        score: the image's. "full": the mean error of its pixels. "weak": the highest threshold at
            which pixels of at least that error still form a connected part as large as the
            category's smallest defect; above it nothing of that size is left.
    """

    supervised: ClassVar[bool] = False
    localises: ClassVar[bool] = True

    latent: int
    loss: str
    score: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent < 1:
            raise UserError(f"detector.latent must be at least 1, not {self.latent}")
        require_choice("detector.loss", self.loss, (L1, MSE))
        require_choice("detector.score", self.score, (FULL, WEAK))

    @property
    def needs_smallest_defect(self) -> bool:
        """Whether the image's score depends on it."""
        return self.score == WEAK

    def facts(self) -> dict[str, Any]:
        """Return what changes the weights, which the choice of the score does not."""
        return {key: value for key, value in super().facts().items() if key != "score"}

    def trainable(self, backbone: Backbone) -> TimmBackbone:
        """Return the backbone as one that can be mirrored; see `ImageDetector.trainable`.

        Raises:
            UserError: it is another than ResNet-18 or -34, or its images do not fit.
        """
        resnet = super().trainable(backbone)
        if resnet.name.partition(".")[0] not in ("resnet18", "resnet34"):
            raise UserError(
                f"detector=autoencoder mirrors ResNet-18 or -34, not {resnet.name}: "
                "use backbone=resnet-18 or backbone=resnet-34"
            )
        side = square_side(resnet, "detector=autoencoder")
        if side % STRIDE:
            raise UserError(
                f"backbone.input_size={side}: detector=autoencoder needs a multiple of {STRIDE}"
            )
        return resnet

    def network(self, backbone: TimmBackbone) -> AutoencoderNetwork:
        """Build encoder and decoder; see `ImageDetector.network`."""
        from gad_bench.trained.autoencoder_network import AutoencoderNetwork

        return AutoencoderNetwork(backbone, self.latent, squared=self.loss == MSE, seed=self.seed)

    def judge(
        self, trained: Trained, pixels: Pixels, device: str, smallest_defect: float | None
    ) -> Judgement:
        """Return the scores and the error maps; see `ImageDetector.judge`.

        Raises:
            UserError: the weak score is asked for, and nobody knows the smallest defect.
        """
        errors = self.reconstruct(trained, pixels, device).errors
        if self.score == FULL:
            return Judgement(scores=errors.mean(axis=(1, 2), dtype=np.float64), maps=errors)
        if smallest_defect is None:
            raise UserError(
                "detector.score=weak needs the category's smallest defect, and the data set has "
                "neither masks nor the fact smallest_defect: use detector.score=full"
            )
        area = max(1, round(smallest_defect * pixels.shape[1] * pixels.shape[2]))
        return Judgement(
            scores=np.array([weak_score(own, area) for own in errors], np.float64), maps=errors
        )

    def reconstruct(self, trained: Trained, pixels: Pixels, device: str) -> Reconstructed:
        """Give images back; see `ImageDetector.reconstruct`."""
        from gad_bench.trained.autoencoder_network import reconstruct

        return reconstruct(trained.network, pixels, self.batch_size, device)
