from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gad_bench.patches import BatchedMaps, Maps

SIDE = 64  # of the images: grids of 16, 8 and 4 positions a side
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
