"""Which pixels raised the scores: attributions by Captum, through the detector's graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from gad_bench.base.errors import UserError, require_choice
from gad_bench.base.process import resolve_device, thread_count
from gad_bench.data.split import Rows, Split
from gad_bench.evaluation.intervals import RESAMPLES, with_intervals
from gad_bench.evaluation.pixel_intervals import resampled_pixel_metrics
from gad_bench.features.interface import Features, Pixels, Size
from gad_bench.patches.heat_maps import HeatMaps, Map
from gad_bench.patches.truth import MaskedMaps

if TYPE_CHECKING:
    from torch import Tensor, nn

GRADIENTS, INTEGRATED = "gradients", "integrated_gradients"

Reader = Callable[[], Pixels]


class Attribution(NamedTuple):
    """What an image's pixels add to its score.

    Attributes:
        pixels: [H, W], of the backbone's input.
        difference: between the image's score and that of the image where the way begins.
        gap: what the pixels add up to, less that difference.
    """

    pixels: Map
    difference: float = 0.0
    gap: float = 0.0


@dataclass(frozen=True)
class Attributed:
    """The test images' attributions, smoothed, and what they are worth, by name."""

    maps: MaskedMaps
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class PixelExplanation:
    """Attribute each test image's combined score to its pixels.

    Attributes:
        method: "integrated_gradients": what each pixel adds to the score on the straight way from
            the most similar training image; they add up to the difference of the two scores.
            "gradients": the absolute slope of the score in each pixel, a fraction of the work.
        steps: of integrated gradients, by Gauss-Legendre quadrature.
        sigma: standard deviation of the Gaussian that smooths them, in pixels of the backbone's
            input.
    """

    method: str
    steps: int
    sigma: float

    def __post_init__(self) -> None:
        require_choice("explanation.method", self.method, (GRADIENTS, INTEGRATED))
        if self.steps < 1:
            raise UserError(f"explanation.steps must be at least 1, not {self.steps}")
        if not 0 <= self.sigma < np.inf:
            raise UserError(f"explanation.sigma must be 0 or more, not {self.sigma}")

    def require(self, detector: object, combination: object, precision: str) -> None:
        """Refuse, before anything is extracted, scores that it cannot explain.

        Args:
            detector: not fitted yet.
            combination: of its scores.
            precision: of the runtime's arithmetic.

        Raises:
            UserError: the score has no graph in float32, or Captum is not installed.
        """
        if precision != "float32":
            raise UserError(
                f"explanation=pixels computes in float32, this run in {precision}: "
                "use runtime.precision=float32"
            )
        from gad_bench.steps.graph import require_graph

        require_graph(detector, combination)
        if find_spec("captum") is None:
            raise UserError("explanation=pixels needs captum: pip install 'gad-bench[pixels]'")

    def attribute(
        self, graph: nn.Module, images: Sequence[tuple[Reader, Reader]], device: str
    ) -> list[Attribution]:
        """Attribute images' scores, on a CPU as many at once as there are threads, of one each.

        Args:
            graph: from float32 [1, H, W, 3] to the scores [1], and whatever else.
            images: each image, and where the way to it begins, uint8 [H, W, 3] RGB.
            device: the run's; a Mac's CPU where it is mps, which has no float64.

        Raises:
            UserError: a score has no slope, or an image cannot be read.
        """
        import torch

        place = torch.device(resolve_device(device).replace("mps", "cpu"))
        graph = graph.to(place).eval().requires_grad_(requires_grad=False)

        def of(pair: tuple[Reader, Reader]) -> Attribution:
            image, start = (
                torch.from_numpy(read()).to(place, torch.float32)[None] for read in pair
            )
            return self._attribution(lambda pixels: graph(pixels)[0], image, start)

        threads = thread_count() if place.type == "cpu" else 1
        with ThreadPoolExecutor(threads, "captum", torch.set_num_threads, (1,)) as pool:
            found = pool.map(of, images)
            return list(tqdm(found, self.method, len(images), unit="image", disable=None))

    def _attribution(self, score: Any, image: Tensor, start: Tensor) -> Attribution:  # noqa: ANN401
        from captum.attr import IntegratedGradients, Saliency

        if self.method == GRADIENTS:
            slopes = Saliency(score).attribute(image.requires_grad_())
            return Attribution(_by_pixel(slopes))
        parts, gap = IntegratedGradients(score).attribute(
            image, start, n_steps=self.steps, internal_batch_size=1, return_convergence_delta=True
        )
        return Attribution(_by_pixel(parts), float(parts.double().sum() - gap), float(gap))

    def measure(
        self,
        attributions: Sequence[Attribution],
        image_size: Size,
        tested: pd.DataFrame,
        seed: int,
    ) -> Attributed:
        """Smooth attributions, and hold them against the masks.

        Args:
            attributions: the test images'.
            image_size: of the backbone's input.
            tested: their rows of the catalog.
            seed: of the bootstrap.
        """
        smooth = np.stack([_smoothed(own.pixels, self.sigma) for own in attributions])
        maps = MaskedMaps(HeatMaps(grids=smooth, input_size=image_size, sigma=0), tested)
        metrics: dict[str, float] = {}
        if set(tested["label"]) == {0, 1}:
            metrics = with_intervals(*resampled_pixel_metrics(maps, seed=seed))
            metrics |= inside(maps, seed)
        differences = sum(abs(own.difference) for own in attributions)
        if differences > 0:
            metrics["gap"] = sum(abs(own.gap) for own in attributions) / differences
        return Attributed(maps, metrics)


def most_similar(features: Mapping[int, Features], split: Split) -> Rows:
    """Return of each test image the training image whose vectors are nearest.

    That is by the Euclidean distance over all blocks, each feature by its deviation over the
    training images; one that does not vary has no part.

    Args:
        features: of all images, by block.
        split: which of them are the training and the test images.
    """
    from scipy.spatial.distance import cdist

    squared = np.zeros((len(split.test), len(split.train)))
    for values in features.values():
        train, test = (np.asarray(values[rows], np.float64) for rows in (split.train, split.test))
        deviations = train.std(axis=0)
        varies = deviations > 0
        test, train = (own[:, varies] / deviations[varies] for own in (test, train))
        squared += cdist(test, train, "sqeuclidean")
    return split.train[squared.argmin(axis=1)]


def inside(maps: MaskedMaps, seed: int) -> dict[str, float]:
    """Return which share of what raises the scores of anomalous images lies inside their masks.

    Returns:
        The mean over the images with a mask as `inside`, with its interval by bootstrap over them;
        as `inside_uniform` what an even map would have, the masks' mean share of the image. Nothing
        where no image has a mask.
    """
    shares = []
    for heat, mask in maps:
        if mask.any():
            raising = np.maximum(heat, 0, dtype=np.float64)
            shares.append((raising[mask].sum() / max(raising.sum(), 1e-300), mask.mean()))
    if not shares:
        return {}
    points = dict(zip(("inside", "inside_uniform"), np.mean(shares, axis=0).tolist(), strict=True))
    drawn = np.random.default_rng(seed).integers(len(shares), size=(RESAMPLES, len(shares)))
    return with_intervals(points, {"inside": np.array(shares)[drawn, 0].mean(axis=1)})


def _by_pixel(attributions: Tensor) -> Map:
    """Add up the channels of attributions [1, H, W, 3]: [H, W].

    Raises:
        UserError: they are not finite.
    """
    pixels: Map = attributions[0].double().sum(-1).float().cpu().numpy()
    if not np.isfinite(pixels).all():
        raise UserError(
            "explanation=pixels: an image's score has no slope in some pixel, as this backbone "
            "has none where an image is even: use another backbone"
        )
    return pixels


def _smoothed(pixels: Map, sigma: float) -> Map:
    if sigma == 0:
        return pixels
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))
