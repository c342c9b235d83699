from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trained_images import QUICK, SIDE, backbone, lesson, pictures

from gad_bench.base.errors import UserError
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.trained.autoencoder import Autoencoder
from gad_bench.trained.schedule import Trained
from gad_bench.trained.weak import weak_score

pytest.importorskip("lightning", reason="the extra train is not installed")

VALUES: dict[str, Any] = QUICK | {"epochs": 3, "latent": 4, "loss": "mse", "score": "full"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder: Path = tmp_path_factory.mktemp("autoencoder")
    return Autoencoder(**VALUES).fit(backbone("resnet18.a1_in1k"), lesson(0), "cpu", folder)


@pytest.mark.parametrize(
    ("name", "side", "blocks"), [("resnet18", 224, 8), ("resnet34.a1_in1k", 64, 16)]
)
def test_an_image_is_squeezed_and_comes_back_by_as_many_blocks(
    name: str, side: int, blocks: int
) -> None:
    from gad_bench.trained.autoencoder_network import MirroredBlock

    resnet = TimmBackbone(name=name, pretrained=False, input_size=side)
    network: Any = Autoencoder(**VALUES | {"latent": 32}).network(resnet)
    pixels = torch.zeros((1, side, side, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert network.eval().latent(pixels).shape == (1, 32, 1, 1)
        returned = network(pixels)
    assert returned.shape == (1, 3, side, side)
    assert 0 <= returned.min() <= returned.max() <= 1
    assert sum(isinstance(module, MirroredBlock) for module in network.modules()) == blocks


@pytest.mark.parametrize("loss", ["l1", "mse"])
def test_the_scores_are_those_of_the_errors(trained: Trained, loss: str) -> None:
    tested, _ = pictures(5, light=2, seed=3)
    network: Any = trained.network
    network.squared = loss == "mse"
    full, weak = (
        Autoencoder(**VALUES | {"score": score}).judge(trained, tested, "cpu", 0.05)
        for score in ("full", "weak")
    )
    with torch.inference_mode():
        returned = network(torch.from_numpy(tested)).permute(0, 2, 3, 1).numpy()
    network.squared = True
    difference = returned - tested / 255
    errors = (np.abs(difference) if loss == "l1" else difference**2).mean(axis=3)
    np.testing.assert_allclose(full.maps, errors, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(full.scores, errors.mean(axis=(1, 2)), rtol=1e-3)
    area = round(0.05 * SIDE * SIDE)
    assert weak.maps is not None
    np.testing.assert_array_equal(weak.scores, [weak_score(own, area) for own in weak.maps])
    found = Autoencoder(**VALUES).reconstruct(trained, tested, "cpu").images
    np.testing.assert_allclose(found, 255 * returned, atol=0.51)


def test_what_was_never_seen_is_given_back_worse(trained: Trained) -> None:
    tested, labels = pictures(12, light=5, seed=4)
    for score in ("full", "weak"):
        judged = Autoencoder(**VALUES | {"score": score}).judge(trained, tested, "cpu", 0.05)
        assert judged.scores[labels == 1].min() > judged.scores[labels == 0].max()


def test_the_weak_score_needs_a_smallest_defect(trained: Trained) -> None:
    weak = Autoencoder(**VALUES | {"score": "weak"})
    with pytest.raises(UserError, match="neither masks nor the fact smallest_defect"):
        weak.judge(trained, pictures(2)[0], "cpu", None)
    assert weak.needs_smallest_defect
    assert not Autoencoder(**VALUES).needs_smallest_defect


def test_the_choice_of_the_score_is_no_other_training() -> None:
    full, weak, wide = (
        Autoencoder(**VALUES | change).facts() for change in ({}, {"score": "weak"}, {"latent": 5})
    )
    assert full == weak != wide


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        ("resnet50.a1_in1k", 32, "mirrors ResNet-18 or -34, not resnet50"),
        ("resnet18.a1_in1k", 40, "needs a multiple of 32"),
    ],
)
def test_another_backbone_is_refused(name: str, side: int, message: str) -> None:
    resnet = TimmBackbone(name=name, pretrained=False, input_size=side)
    with pytest.raises(UserError, match=message):
        Autoencoder(**VALUES).trainable(resnet)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latent": 0}, r"detector\.latent must be at least 1"),
        ({"loss": "ssim"}, r"detector\.loss=ssim is unknown"),
        ({"score": "seg"}, r"detector\.score=seg is unknown"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Autoencoder(**VALUES | values)
