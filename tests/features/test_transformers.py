"""The ready backbones of the field, and transformers' tokens, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor, nn

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import build, register
from gad_bench.features.maps import MapsBackbone
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime
from gad_bench.features.timm_backbone import TimmBackbone

Shape = tuple[int, int]  # channels, positions a side
SMALL, BASE, LARGE = 384, 768, 1024
LAST, LAST_OF_LARGE = [11], [23]
QUARTERS, QUARTERS_OF_LARGE = [2, 5, 8, 11], [5, 11, 17, 23]
READY: dict[str, tuple[list[int], list[Shape]]] = {
    "dinov2-small": (LAST, [(SMALL, 32)] * 12),
    "dinov2-small-registers": (LAST, [(SMALL, 32)] * 12),
    "dinov2-base": (LAST, [(BASE, 32)] * 12),
    "dinov2-base-registers": (LAST, [(BASE, 32)] * 12),
    "dinov2-large": (LAST_OF_LARGE, [(LARGE, 32)] * 24),
    "dinov2-large-registers": (LAST_OF_LARGE, [(LARGE, 32)] * 24),
    "dinov3-small": (QUARTERS, [(SMALL, 28)] * 12),
    "dinov3-base": (QUARTERS, [(BASE, 28)] * 12),
    "dinov3-large": (QUARTERS_OF_LARGE, [(LARGE, 28)] * 24),
    "dinov3-convnext-tiny": ([1, 2], [(96, 56), (192, 28), (384, 14), (768, 7)]),
    "dinov3-convnext-base": ([1, 2], [(128, 56), (256, 28), (512, 14), (1024, 7)]),
    "dinov3-convnext-large": ([1, 2], [(192, 56), (384, 28), (768, 14), (1536, 7)]),
    "convnext-tiny": ([1, 2], [(96, 56), (192, 28), (384, 14), (768, 7)]),
    "convnext-base": ([1, 2], [(128, 56), (256, 28), (512, 14), (1024, 7)]),
    "convnext-large": ([1, 2], [(192, 56), (384, 28), (768, 14), (1536, 7)]),
    "siglip2-base": (QUARTERS, [(BASE, 32)] * 12),
    "clip-large": (QUARTERS_OF_LARGE, [(LARGE, 24)] * 24),
    "pe-spatial-base": (LAST, [(BASE, 32)] * 12),
    "eva02-large": (QUARTERS_OF_LARGE, [(LARGE, 32)] * 24),
    "wide-resnet-50-2": ([2, 3], [(64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)]),
    "resnet-18": ([2, 3], [(64, 56), (64, 56), (128, 28), (256, 14), (512, 7)]),
}


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", overrides=[*overrides])


@pytest.mark.parametrize("choice", READY)
def test_a_ready_backbone_is_one_of_timms_weights_and_has_the_literatures_blocks(
    choice: str,
) -> None:
    config = composed(f"backbone={choice}", "blocks=best")
    weights = timm.get_pretrained_cfg(config.backbone.name)
    assert weights.has_weights
    assert list(weights.mean) == config.backbone.mean
    assert list(weights.std) == config.backbone.std
    blocks, shapes = READY[choice]
    assert build(config.blocks).of(len(shapes)) == blocks


@pytest.mark.parametrize("choice", READY)
def test_a_ready_backbones_blocks_have_their_shapes(choice: str) -> None:
    backbone = build(composed(f"backbone={choice}", "backbone.pretrained=false").backbone)
    _, shapes = READY[choice]
    size = backbone.image_size()
    with torch.device("meta"):  # shapes alone: nothing is computed
        module = backbone.build_maps(len(shapes) - 1)
        maps = module(torch.zeros((2, size, size, 3)))
    count = backbone.taps or module.get_submodule("network.network").feature_info
    assert len(count) == len(shapes)
    assert [tuple(own.shape) for own in maps] == [(2, width, n, n) for width, n in shapes]


def test_a_backbone_without_known_blocks_refuses_best() -> None:
    for choice in (["filterbank"], ["timm", "backbone.name=resnet18"]):
        config = composed(f"backbone={choice[0]}", *choice[1:], "blocks=best")
        with pytest.raises(UserError, match=r"name some with blocks\.indices"):
            build(config.blocks)


PLAIN = TimmBackbone(name="test_vit", pretrained=False, input_size=64, pooling="class_token")
# Positions by rotation, and four register tokens beside the class token.
ROTARY = TimmBackbone(
    name="vit_small_patch16_dinov3", pretrained=False, input_size=64, pooling="class_token"
)


def tokens_by_hooks(backbone: TimmBackbone, pixels: np.ndarray) -> list[Tensor]:
    """All tokens after each block, from a network of the same seed that runs as a whole."""
    torch.manual_seed(0)
    network: nn.Module = timm.create_model(backbone.name, img_size=64).eval()
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    mean, std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
    images = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    found: list[Tensor] = []
    keep: Callable[..., None] = lambda _module, _inputs, tokens: found.append(tokens)  # noqa: E731
    for block in network.blocks:
        block.register_forward_hook(keep)
    with torch.inference_mode():
        network(images)
        return [*found, *(network.norm(tokens) for tokens in found)]


@pytest.mark.parametrize("backbone", [PLAIN, ROTARY], ids=["plain", "rotary"])
@pytest.mark.parametrize("final_norm", [False, True])
def test_maps_are_patch_tokens_and_vectors_the_class_token(
    backbone: TimmBackbone, final_norm: bool, pixels: np.ndarray
) -> None:
    backbone = TimmBackbone(**{**vars(backbone), "final_norm": final_norm})
    count = backbone.block_count()
    expected = tokens_by_hooks(backbone, pixels)[count * final_norm :][:count]
    both = MapsBackbone(backbone=backbone, blocks=list(range(count)), vectors=count)
    with torch.inference_mode():
        found = both.build(count - 1)(torch.from_numpy(pixels))
        alone = backbone.build(count - 1)(torch.from_numpy(pixels))
        maps = backbone.build_maps(count - 1)(torch.from_numpy(pixels))
    for block, tokens in enumerate(expected):
        patches = tokens[:, -16:].reshape(len(pixels), 4, 4, -1).permute(0, 3, 1, 2)
        for vector in (found[block], alone[block]):
            torch.testing.assert_close(vector, tokens[:, 0], rtol=1e-4, atol=1e-5)
        for own in (found[count + block], maps[block]):
            torch.testing.assert_close(own, patches, rtol=1e-4, atol=1e-5)


def test_openvino_gives_the_same_tokens(pixels: np.ndarray) -> None:
    both = MapsBackbone(backbone=ROTARY, blocks=[1], vectors=2)
    by_torch, by_openvino = (
        runtime.compile(both.build(1), 64, "cpu")(pixels[:2])
        for runtime in (TorchRuntime(), OpenVinoRuntime())
    )
    for expected, found in zip(by_torch, by_openvino, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_position_embeddings_are_resized_and_the_class_tokens_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_vit").eval()  # 160 pixels: 10 x 10 patches of 16
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    backbone = TimmBackbone(name="test_vit", weights=str(tmp_path / "weights.pth"), input_size=64)
    found = backbone.build(0).get_parameter("maps.network.network.pos_embed")
    grid = network.pos_embed[:, 1:].reshape(1, 10, 10, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(grid, (4, 4), mode="bicubic", antialias=True)
    torch.testing.assert_close(found[:, 1:], resized.permute(0, 2, 3, 1).reshape(1, 16, -1))
    torch.testing.assert_close(found[:, :1], network.pos_embed[:, :1])


def test_what_a_transformer_lacks_is_refused() -> None:
    siglip = TimmBackbone(
        name="vit_base_patch16_siglip_224", pretrained=False, pooling="class_token"
    )
    with (
        torch.device("meta"),
        pytest.raises(UserError, match=r"siglip_224 has no class token: use backbone\.pooling"),
    ):
        siglip.build(0)
    with pytest.raises(UserError, match="multiples of its patches of 16 pixels, such as 64 or 80"):
        TimmBackbone(name="test_vit", pretrained=False, input_size=70).build_maps(0)
    with pytest.raises(UserError, match=r"use them with backbone\.taps=null"):
        TimmBackbone(name="resnet18", taps=["layer1"], final_norm=True)


def test_tokens_and_the_final_norm_are_among_the_facts() -> None:
    facts = [
        TimmBackbone(name="test_vit", pretrained=False, **choice).facts()
        for choice in ({}, {"final_norm": True}, {"pooling": "class_token"}, {"best": [1]})
    ]
    assert facts[0] == facts[3]
    assert facts[0] != facts[1] != facts[2] != facts[0]
