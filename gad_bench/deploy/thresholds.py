"""The scores from which on an image is called anomalous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gad_bench.evaluation.sigma import SIGMAS, sigma_threshold
from gad_bench.gaussian.detector import FittedDetector
from gad_bench.gaussian.model import FittedModel

DECIDING = 3


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Thresholds at n sigma of a Gaussian, by n.

    A block has them where its score is a Mahalanobis distance. The image's is the score of one
    whose blocks all lie at theirs: exact for one block, a convention for several.

    Attributes:
        image: of the image's score, by n; empty where a block has none.
        blocks: of each block's score, by n.
    """

    image: Mapping[int, float]
    blocks: Mapping[int, Mapping[int, float]]

    @property
    def deciding(self) -> float | None:
        """The image's at three sigma, None where there is none."""
        return self.image.get(DECIDING)


def sigma_thresholds(model: FittedModel) -> Thresholds:
    """Return a model's thresholds at 1 to 8 sigma."""
    image = {}
    for sigma in SIGMAS:
        own = {block: _at(sigma, fitted) for block, fitted in model.blocks.items()}
        combined = model.combine_thresholds(own, _at(sigma, model.as_one))
        if combined is not None:
            image[sigma] = combined
    return Thresholds(
        image=image,
        blocks={
            block: {sigma: sigma_threshold(sigma, fitted.dimension) for sigma in SIGMAS}
            for block, fitted in model.blocks.items()
            if fitted.dimension is not None
        },
    )


def _at(sigma: int, fitted: FittedDetector | None) -> float | None:
    if fitted is None or fitted.dimension is None:
        return None
    return sigma_threshold(sigma, fitted.dimension)
