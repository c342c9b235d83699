"""The classifier's network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gad_bench.features.interface import Pixels
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.trained.trainee import Trainee, batches, unit_range


class ClassifierNetwork(Trainee):
    """A network of timm with one output: the logit of "anomalous"."""

    monitored, highest = "validation_auroc", True

    def __init__(self, backbone: TimmBackbone, seed: int) -> None:
        super().__init__(backbone.standardisation())
        network: Any = backbone.build_network()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network.reset_classifier(1)
        self.network: nn.Module = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits [B] of uint8 [B, S, S, 3]."""
        logits: Tensor = self.network(self.standardised(unit_range(pixels)))
        return logits.flatten()

    def judge(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return cross-entropy and logit; see `Trainee.judge`."""
        logits = self(pixels)
        return binary_cross_entropy_with_logits(logits, labels, reduction="none"), logits


@torch.inference_mode()
def logits(network: nn.Module, pixels: Pixels, batch_size: int, device: str) -> NDArray[np.float64]:
    """Return the logits [images] of uint8 [images, S, S, 3]."""
    network = network.to(device).eval()
    found = [network(batch).cpu().double().numpy() for batch in batches(pixels, batch_size, device)]
    return np.concatenate(found) if found else np.empty(0)
