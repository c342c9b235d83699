"""The autoencoder's network: a ResNet, a few latent values, and the ResNet's mirror."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gad_bench.features.interface import Pixels, square_side
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.trained.detector import Reconstructed
from gad_bench.trained.trainee import Trainee, batches, unit_range

CHANNELS = (512, 256, 128, 64)  # of the ResNet's last stage up to its first
STAGES = ("layer4", "layer3", "layer2", "layer1")
STRIDE = 32


def enlarged(wide: int, narrow: int, kernel: int) -> nn.Module:
    """Return a convolution to maps of twice the side, by PixelShuffle.

    Source: Shi et al., CVPR 2016, "Real-time single image and video super-resolution using an
    efficient sub-pixel convolutional neural network".
    """
    return nn.Sequential(
        nn.Conv2d(wide, 4 * narrow, kernel, padding=kernel // 2, bias=False), nn.PixelShuffle(2)
    )


class MirroredBlock(nn.Module):
    """A ResNet's basic block backwards: the second of its convolutions doubles the side."""

    def __init__(self, wide: int, narrow: int, *, doubles: bool) -> None:
        super().__init__()
        if doubles:
            last, beside = enlarged(wide, narrow, 3), enlarged(wide, narrow, 1)
        else:
            last, beside = nn.Conv2d(wide, narrow, 3, padding=1, bias=False), nn.Identity()
        self.inner = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            last,
            nn.BatchNorm2d(narrow),
        )
        self.beside = nn.Sequential(beside, nn.BatchNorm2d(narrow)) if doubles else beside

    def forward(self, maps: Tensor) -> Tensor:
        """Return [B, narrow, H, W], or twice the side."""
        return torch.relu(self.inner(maps) + self.beside(maps))


def decoder(depths: Sequence[int], latent: int, side: int) -> nn.Module:
    """Return what makes [B, 3, 32 side, 32 side] in [0, 1] of latent values [B, latent, 1, 1].

    Args:
        depths: blocks of each stage, from the ResNet's last to its first.
        latent: the number of values.
        side: of the ResNet's last map.
    """
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(latent, CHANNELS[0], side, bias=False),
        nn.BatchNorm2d(CHANNELS[0]),
        nn.ReLU(),
    ]
    for wide, narrow, depth in zip(CHANNELS, (*CHANNELS[1:], CHANNELS[-1]), depths, strict=True):
        layers += [MirroredBlock(wide, wide, doubles=False) for _ in range(depth - 1)]
        layers.append(MirroredBlock(wide, narrow, doubles=wide != narrow))
    stem = CHANNELS[-1]
    layers += [enlarged(stem, stem, 3), nn.BatchNorm2d(stem), nn.ReLU()]  # of the max-pool
    layers += [enlarged(stem, 3, 7), nn.Sigmoid()]  # of the first convolution
    return nn.Sequential(*layers)


class AutoencoderNetwork(Trainee):
    """Encoder, latent values, decoder."""

    monitored, highest = "validation_loss", False

    def __init__(self, backbone: TimmBackbone, latent: int, *, squared: bool, seed: int) -> None:
        super().__init__(backbone.standardisation())
        resnet: Any = backbone.build_network()
        depths = [len(getattr(resnet, stage)) for stage in STAGES]
        side = square_side(backbone, "detector=autoencoder") // STRIDE
        resnet.reset_classifier(0)
        self.encoder = resnet
        self.squared = squared
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.squeeze = nn.Conv2d(CHANNELS[0], latent, side)
            self.decoder = decoder(depths, latent, side)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return uint8 [B, S, S, 3] as they are given back: float32 [B, 3, S, S] in [0, 1]."""
        reconstruction: Tensor = self.decoder(self.latent(pixels))
        return reconstruction

    def latent(self, pixels: Tensor) -> Tensor:
        """Return the latent values [B, latent, 1, 1]."""
        values: Tensor = self.squeeze(
            self.encoder.forward_features(self.standardised(unit_range(pixels)))
        )
        return values

    def errors(self, pixels: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the errors [B, S, S], means over the channels."""
        difference = reconstruction - unit_range(pixels)
        return (difference.square() if self.squared else difference.abs()).mean(dim=1)

    def judge(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the mean error, which is loss and score; see `Trainee.judge`."""
        means = self.errors(pixels, self(pixels)).mean(dim=(1, 2))
        return means, means


@torch.inference_mode()
def reconstruct(network: Any, pixels: Pixels, batch_size: int, device: str) -> Reconstructed:  # noqa: ANN401 - torch.nn.Module would not do
    """Give images uint8 [images, S, S, 3] back."""
    network = network.to(device).eval()
    images, errors = np.empty_like(pixels), np.empty(pixels.shape[:3], np.float32)
    start = 0
    for batch in batches(pixels, batch_size, device):
        rows = slice(start, start + len(batch))
        reconstruction = network(batch)
        errors[rows] = network.errors(batch, reconstruction).cpu().numpy()
        images[rows] = (255 * reconstruction).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        start += len(batch)
    return Reconstructed(images=images, errors=errors)
