from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder
from gad_bench.features.local import LocalSource
from gad_bench.features.runtime import TorchRuntime

SIDE, SPOT = 64, slice(40, 52)


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Grey noise, 30 images to learn and 5 to test; the last three have a striped square."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    rows = []
    for index in range(35):
        noise = generator.normal(128, 20, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
        anomalous = index >= 32
        mask = np.zeros_like(noise)
        if anomalous:
            noise[SPOT, SPOT] = np.where(np.arange(12) // 2 % 2, 255, 0)
            mask[SPOT, SPOT] = 255
        cv2.imwrite(str(folder / f"{index}.png"), noise)
        cv2.imwrite(str(folder / f"{index}_mask.png"), mask)
        rows.append(
            {
                "path": str(folder / f"{index}.png"),
                "split": "train" if index < 30 else "test",
                "label": int(anomalous),
                "defect": "stripes" if anomalous else "good",
                "mask": str(folder / f"{index}_mask.png") if anomalous else "",
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture
def train(catalog: pd.DataFrame) -> list[str]:
    return list(catalog["path"][:30])


@pytest.fixture
def test(catalog: pd.DataFrame) -> list[str]:
    return list(catalog["path"][30:])


@pytest.fixture(scope="session")
def source() -> LocalSource:
    """A small filter bank: blocks of 3 x 64 x 64, 6 x 32 x 32 and 6 x 16 x 16."""
    return LocalSource(
        encoder=Encoder(
            backbone=FilterBank(input_size=SIDE, octaves=2, orientations=2),
            runtime=TorchRuntime(),
            device="cpu",
            batch_size=8,
        ),
        blocks=[0, 1, 2],
    )
