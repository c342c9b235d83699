"""What benchmarks/gpu.py measures with: the networks, their inputs, and a clock for the device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

from gad_bench.features.interface import Pixels, Size, height_and_width
from gad_bench.features.timm_backbone import TimmBackbone

EFFICIENT = ("bn1", *(f"blocks.{stage}" for stage in range(7)), "bn2")
RESIDUAL = ("maxpool", "layer1", "layer2", "layer3", "layer4")
Row = dict[str, str | float | bool | None]
"""A row of a table; `holds` tells whether a check held."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every measurement is told.

    Attributes:
        device: cuda, or cpu in its place.
        quick: tiny images and few of them.
        weights: a folder of checkpoints, None for random weights.
        folder: for what is generated.
    """

    device: str
    quick: bool
    weights: Path | None
    folder: Path

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of timm, where it is tapped and how it is fed.

    Attributes:
        model: timm's name.
        taps: None for timm's own choice.
        size: side of its input, in pixels.
        batch: images a pass.
        checkpoint: the file's name among the weights.
        small: the side where all is tiny.
    """

    model: str
    taps: tuple[str, ...] | None
    size: int
    batch: int
    checkpoint: str | None = None
    small: int = 64

    def size_for(self, settings: Settings) -> int:
        return self.small if settings.quick else self.size

    def batch_for(self, settings: Settings) -> int:
        return 4 if settings.quick else self.batch

    def backbone(self, settings: Settings) -> TimmBackbone:
        """With the weights where they are to be had, else with random ones."""
        weights = self.file(settings)
        return TimmBackbone(
            name=self.model,
            pretrained=weights is not None,
            weights=str(weights) if weights else None,
            input_size=self.size_for(settings),
            taps=list(self.taps) if self.taps else None,
        )

    def file(self, settings: Settings) -> Path | None:
        if settings.weights is None or self.checkpoint is None:
            return None
        file = settings.weights / self.checkpoint
        return file if file.is_file() else None


QUICK = ("ResNet-18", "EfficientNet-B4")
"""The networks with which the script is tried."""
NETWORKS = {
    "EfficientNet-B4": Network(
        model="tf_efficientnet_b4.aa_in1k",
        taps=EFFICIENT,
        size=380,
        batch=128,
        checkpoint="tf_efficientnet_b4.pth",
    ),
    "ResNet-18": Network(
        model="resnet18.tv_in1k",
        taps=RESIDUAL,
        size=224,
        batch=256,
        checkpoint="resnet18_layer3.pth",
    ),
    "EfficientNet-B0": Network(
        model="tf_efficientnet_b0.aa_in1k", taps=EFFICIENT, size=224, batch=256
    ),
    "Wide-ResNet-50-2": Network(
        model="wide_resnet50_2.tv_in1k", taps=RESIDUAL, size=224, batch=256
    ),
    "DINOv2 ViT-B/14": Network(
        model="vit_base_patch14_dinov2.lvd142m", taps=None, size=518, batch=64, small=56
    ),
    "MobileNetV2": Network(
        model="mobilenetv2_100.ra_in1k",
        taps=None,
        size=224,
        batch=256,
        checkpoint="mobilenetv2_100.pth",
    ),
}


def smooth_images(count: int, size: Size) -> Pixels:
    """Return colour images uint8 [count, H, W, 3]: noise alone looks the same to a filter."""
    height, width = height_and_width(size)
    noise = np.random.default_rng(7).random((min(count, 16), 12, 12, 3), np.float32)
    large = [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in noise]
    few = (np.clip(np.stack(large), 0, 1) * 255).astype(np.uint8)
    return few[np.arange(count) % len(few)]


def synchronise(settings: Settings) -> None:
    if settings.on_gpu:
        torch.cuda.synchronize()


def seconds_of(
    run: Callable[[], object], settings: Settings, rounds: int = 3, passes: int = 1
) -> float:
    """Return the median seconds of a run that has been made before, all of it done.

    Args:
        run: what is timed.
        settings: with `quick`, one round of one pass.
        rounds: of which the median is taken.
        passes: runs a round, of which each has its share of the time.
    """
    run()
    synchronise(settings)
    times = []
    passes = 1 if settings.quick else passes
    for _ in range(1 if settings.quick else rounds):
        started = time.perf_counter()
        for _ in range(passes):
            run()
        synchronise(settings)
        times.append((time.perf_counter() - started) / passes)
    return median(times)
