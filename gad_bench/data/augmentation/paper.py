"""The paper's augmentation of the training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gad_bench.base.errors import UserError, require_choice
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
CENTRED = "centred"
MOTION_BLURS = {CENTRED: "motion_blur", "chord": "chord_blur"}
"""The operation by the choice."""


@dataclass(frozen=True, kw_only=True)
class PaperAugmentation:
    """Blur, contrast, colour and noise, then flips, turns and small shifts.

    Source: Rippel et al., ICPR 2020, and facts of their program (see NOTICE), where too it is
    applied to the image at the network's input size.

    Attributes:
        passes: over the training images.
        seed: of the changes.
        probability: that an image is changed at all, in a pass.
        clip_limits: between which the clip limit of the local equalisation lies, uniformly; of the
            paper's numbers [1, 2].
        motion_blur: along which lines. "centred": a line through the kernel's middle, in any
            direction and as long as the kernel. "chord": between any two of its pixels, so that it
            may be short and shifts the image by up to half the kernel; so were the paper's numbers.
    """

    passes: int
    seed: int
    probability: float
    clip_limits: list[float] = field(default_factory=lambda: [2.0, 2.0])
    motion_blur: str = CENTRED

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise UserError(f"augmentation.passes must be at least 1, not {self.passes}")
        if self.seed < 0:
            raise UserError(f"augmentation.seed must be at least 0, not {self.seed}")
        if not 0 <= self.probability <= 1:
            raise UserError(f"augmentation.probability must lie in [0, 1], not {self.probability}")
        if len(self.clip_limits) != 2 or not 0 < self.clip_limits[0] <= self.clip_limits[1]:
            raise UserError(
                "augmentation.clip_limits needs the lowest and the highest clip limit, more than "
                f"0, not {self.clip_limits}"
            )
        require_choice("augmentation.motion_blur", self.motion_blur, tuple(MOTION_BLURS))

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
            **self._otherwise(),
        }

    def augment(self, image: Pixels, digest: str, number: int, category: CategoryFacts) -> Pixels:
        """Return an image as a pass shows it; see `interface.Augmentation`."""
        draw = np.random.default_rng([self.seed, number, int(digest, 16)])
        if draw.random() >= self.probability:
            return image
        import torch

        with torch.inference_mode(), _one_core():
            pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
            for change in self._chain(draw, category):
                pixels = change(pixels).clamp(0, 1)
            changed = (pixels[0] * 255).round().to(torch.uint8).permute(1, 2, 0)
            return np.ascontiguousarray(changed.numpy())

    def _otherwise(self) -> dict[str, Any]:
        """Return what differs from the chain as it was before these could be chosen."""
        limits = [float(limit) for limit in self.clip_limits]
        return {
            **({} if limits == [2.0, 2.0] else {"clip_limits": limits}),
            **({} if self.motion_blur == CENTRED else {"motion_blur": self.motion_blur}),
        }

    def _chain(
        self, draw: np.random.Generator, category: CategoryFacts
    ) -> Iterator[Callable[[Tensor], Tensor]]:
        """Yield the changes that this time are made."""
        from gad_bench.data.augmentation import operations

        for probability, choices in PIXEL_STEPS:
            if draw.random() < probability:
                weights = np.array(list(choices.values()))
                name = str(draw.choice(list(choices), p=weights / weights.sum()))
                yield self._operation(name, draw)
        if category.horizontal_flip and draw.random() < 0.5:
            yield operations.flip
        if category.quarter_turns and draw.random() < 0.5:
            yield partial(operations.quarter_turn, draw=draw)
        if draw.random() < 0.2:
            yield partial(operations.shift_scale_rotate, draw=draw, category=category)

    def _operation(self, name: str, draw: np.random.Generator) -> Callable[[Tensor], Tensor]:
        from gad_bench.data.augmentation import operations

        if name == "clahe":
            low, high = self.clip_limits
            return partial(operations.clahe, draw=draw, limits=(float(low), float(high)))
        chosen = MOTION_BLURS[self.motion_blur] if name == "motion_blur" else name
        return partial(getattr(operations, chosen), draw=draw)


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
