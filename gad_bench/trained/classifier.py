"""A fine-tuned network with one output, good or anomalous: what would labels buy?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.features.interface import Pixels
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.trained.detector import ImageDetector, Judgement
from gad_bench.trained.schedule import Lesson, Trained

if TYPE_CHECKING:
    from gad_bench.trained.classifier_network import ClassifierNetwork


@dataclass(frozen=True, kw_only=True)
class Classifier(ImageDetector):
    """The whole backbone, trained on labels by binary cross-entropy; the score is its logit.

    The best epoch is that of the highest AUROC on the images held out.
    """

    supervised: ClassVar[bool] = True

    def check(self, lesson: Lesson) -> None:
        """Refuse images that are all of one kind; see `ImageDetector.check`."""
        super().check(lesson)
        parts = {"fitted": lesson.train_labels, "held out": lesson.validation_labels}
        for name, labels in parts.items():
            if len(np.unique(labels)) < 2:
                raise UserError(
                    f"all {len(labels)} images {name} have the same label: "
                    "a classifier needs good and anomalous ones"
                )

    def network(self, backbone: TimmBackbone) -> ClassifierNetwork:
        """Build the backbone with a new last layer; see `ImageDetector.network`."""
        from gad_bench.trained.classifier_network import ClassifierNetwork

        return ClassifierNetwork(backbone, self.seed)

    def judge(
        self,
        trained: Trained,
        pixels: Pixels,
        device: str,
        smallest_defect: float | None,  # noqa: ARG002
    ) -> Judgement:
        """Return the logits; see `ImageDetector.judge`."""
        from gad_bench.trained.classifier_network import logits

        return Judgement(scores=logits(trained.network, pixels, self.batch_size, device))
