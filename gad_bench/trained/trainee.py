"""What a network must offer to be trained, and how it is asked afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from gad_bench.features.interface import Pixels


class Trainee(nn.Module, ABC):
    """A network that takes uint8 [B, S, S, 3] RGB and knows what it should have said.

    Attributes:
        monitored: the validation curve by which the best epoch is chosen.
        highest: whether its highest value is the best, else the lowest.
    """

    monitored: str
    highest: bool
    mean: Tensor
    std: Tensor

    def __init__(self, standardisation: tuple[Sequence[float], Sequence[float]]) -> None:
        super().__init__()
        mean, std = standardisation
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    @abstractmethod
    def judge(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss [B] and the score [B] of each image.

        Args:
            pixels: uint8 [B, S, S, 3].
            labels: float32 [B], 1 for anomalous.
        """

    def standardised(self, images: Tensor) -> Tensor:
        """Return images [B, 3, S, S] in [0, 1] as the backbone's weights want them."""
        return (images - self.mean) / self.std


def unit_range(pixels: Tensor) -> Tensor:
    """Return uint8 [B, S, S, 3] as float32 [B, 3, S, S] in [0, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def batches(pixels: Pixels, batch_size: int, device: str) -> Iterator[Tensor]:
    """Yield images as tensors on a device."""
    for start in range(0, len(pixels), batch_size):
        yield torch.from_numpy(pixels[start : start + batch_size]).to(device)
