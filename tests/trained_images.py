"""Tiny images, good ones dark and anomalous ones light, to train on."""

from __future__ import annotations

from typing import Any

import numpy as np

from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.trained.schedule import Lesson

SIDE = 32
QUICK: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "patience": 3,
    "seed": 0,
}


def backbone(name: str = "test_resnet.r160_in1k") -> TimmBackbone:
    return TimmBackbone(name=name, pretrained=False, input_size=SIDE)


def pictures(count: int, light: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images [count, 32, 32, 3], the last of them light; and their labels."""
    noise = np.random.default_rng(seed).integers(0, 60, (count, SIDE, SIDE, 3))
    labels = (np.arange(count) >= count - light).astype(int)
    return (noise + 150 * labels[:, None, None, None]).astype(np.uint8), labels


def lesson(light: int) -> Lesson:
    train, train_labels = pictures(17, light=light and 6)
    validation, validation_labels = pictures(8, light=light, seed=1)
    return Lesson(
        train=train,
        train_labels=train_labels,
        validation=validation,
        validation_labels=validation_labels,
    )
