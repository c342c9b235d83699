"""The paper's augmentation of the training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.data.augmentation.interface import Pixels
from gad_bench.data.catalog import CategoryFacts

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController
    from torch import Tensor

CHAIN = "paper/1"  # raise the number when the same seed gives other pixels than before

PIXEL_STEPS: tuple[tuple[float, dict[str, float]], ...] = (
    (0.2, {"motion_blur": 0.2, "median_blur": 0.1, "box_blur": 0.1}),
    (0.3, {"clahe": 1, "sharpen": 1, "emboss": 1, "brightness_contrast": 1}),
    (0.3, {"shift_colour": 1}),
    (0.2, {"shared_noise": 1, "channel_noise": 1}),
)
"""Each step's probability, and its operations with their weights: one of them is applied."""


@dataclass(frozen=True, kw_only=True)
class PaperAugmentation:
    """Blur, contrast, colour and noise, then flips, turns and small shifts.

    Source: Rippel et al., ICPR 2020, and their code (github.com/ORippler/gaussian-ad-mvtec, MIT),
    where too it is applied to the image at the network's input size.

    Attributes:
        passes: over the training images.
        seed: of the changes.
        probability: that an image is changed at all, in a pass.
    """

    passes: int
    seed: int
    probability: float

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise UserError(f"augmentation.passes must be at least 1, not {self.passes}")
        if self.seed < 0:
            raise UserError(f"augmentation.seed must be at least 0, not {self.seed}")
        if not 0 <= self.probability <= 1:
            raise UserError(f"augmentation.probability must lie in [0, 1], not {self.probability}")

    def facts(self, category: CategoryFacts) -> dict[str, Any]:
        """Return the chain, its seed and probability, and the category's limits on geometry."""
        return {
            "chain": CHAIN,
            "seed": self.seed,
            "probability": float(self.probability),
            "horizontal_flip": category.horizontal_flip,
            "quarter_turns": category.quarter_turns,
            "rotation_limit": category.rotation_limit,
            "shift_limit": category.shift_limit,
            "scale_limits": list(category.scale_limits),
        }

    def augment(self, image: Pixels, digest: str, number: int, category: CategoryFacts) -> Pixels:
        """Return an image as a pass shows it; see `interface.Augmentation`."""
        draw = np.random.default_rng([self.seed, number, int(digest, 16)])
        if draw.random() >= self.probability:
            return image
        import torch

        with torch.inference_mode(), _one_core():
            pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
            for change in _chain(draw, category):
                pixels = change(pixels).clamp(0, 1)
            changed = (pixels[0] * 255).round().to(torch.uint8).permute(1, 2, 0)
            return np.ascontiguousarray(changed.numpy())


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this thread's torch from splitting an operation: other threads have other images."""
    import torch

    torch.get_num_threads()  # a thread's first look at it would undo the limit
    with _thread_pools().limit(limits=1, user_api="openmp"):
        yield


@cache
def _thread_pools() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _chain(
    draw: np.random.Generator, category: CategoryFacts
) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield the changes that this time are made."""
    from gad_bench.data.augmentation import operations

    for probability, choices in PIXEL_STEPS:
        if draw.random() < probability:
            weights = np.array(list(choices.values()))
            name = str(draw.choice(list(choices), p=weights / weights.sum()))
            yield partial(getattr(operations, name), draw=draw)
    if category.horizontal_flip and draw.random() < 0.5:
        yield operations.flip
    if category.quarter_turns and draw.random() < 0.5:
        yield partial(operations.quarter_turn, draw=draw)
    if draw.random() < 0.2:
        yield partial(operations.shift_scale_rotate, draw=draw, category=category)
