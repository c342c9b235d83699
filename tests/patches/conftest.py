from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Encoder
from gad_bench.features.local import LocalSource
from gad_bench.features.runtime import TorchRuntime
from gad_bench.patches import BatchedMaps, Maps

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
def train_paths(catalog: pd.DataFrame) -> list[str]:
    return list(catalog["path"][:30])


@pytest.fixture
def test_paths(catalog: pd.DataFrame) -> list[str]:
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


MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture(scope="session")
def real(assets: Path) -> tuple[Maps, Maps]:
    """ResNet-18's layers 1 to 3 of 12 good toothbrushes to fit, 3 good and 3 bad ones to score."""
    folder = assets / "images" / "toothbrush"
    good = sorted((folder / "train" / "good").iterdir())[:12]
    tested = sorted((folder / "test" / "good").iterdir())[:3]
    tested += sorted((folder / "test" / "defective").iterdir())[:3]
    return resnet(assets, good), resnet(assets, tested)


@pytest.fixture(scope="session")
def train(real: tuple[Maps, Maps]) -> BatchedMaps:
    return BatchedMaps(maps=real[0], batch_size=5)


@pytest.fixture(scope="session")
def test(real: tuple[Maps, Maps]) -> Maps:
    return real[1]


def resnet(assets: Path, paths: list[Path]) -> Maps:
    import timm

    model = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3))
    weights = torch.load(assets / "weights" / "resnet18_layer3.pth", weights_only=True)
    model.load_state_dict(weights, strict=False)
    pixels = np.stack([cv2.resize(cv2.imread(str(path)), (SIDE, SIDE)) for path in paths])
    values = (pixels[..., ::-1] / 255 - MEAN) / DEVIATION
    with torch.inference_mode():
        maps = model.eval()(torch.from_numpy(values.transpose(0, 3, 1, 2)).float())
    return {block: own.numpy() for block, own in enumerate(maps, start=1)}
