"""Local features: blocks' maps, brought to a grid inside the graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gad_bench.features.filterbank import FilterBank
from gad_bench.features.interface import Backbone, Features
from gad_bench.features.local import Embedding, LocalBackbone
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime
from gad_bench.features.timm_backbone import TimmBackbone

FILTERS = FilterBank(input_size=64, octaves=2, orientations=2)
NETWORK = TimmBackbone(name="resnet18", pretrained=False, input_size=64)  # strides 2 to 32
BACKBONES = {"filterbank": FILTERS, "resnet18": NETWORK}


def maps_of(backbone: Backbone, pixels: NDArray[np.uint8]) -> list[Features]:
    with torch.inference_mode():
        module = backbone.build_maps(backbone.block_count() - 1)
        return [block.numpy() for block in module(torch.from_numpy(pixels))]


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES.keys())
def test_maps_cover_the_image_in_blocks_of_falling_resolution(
    backbone: Backbone, pixels: NDArray[np.uint8]
) -> None:
    sides = [block.shape[2:] for block in maps_of(backbone, pixels)]
    expected = [64, 32, 16] if backbone is FILTERS else [32, 16, 8, 4, 2]
    assert sides == [(side, side) for side in expected]


def test_a_networks_pooled_blocks_are_the_means_of_its_maps(pixels: NDArray[np.uint8]) -> None:
    with torch.inference_mode():
        pooled = NETWORK.build(4)(torch.from_numpy(pixels))
    for block, vector in zip(maps_of(NETWORK, pixels), pooled, strict=True):
        np.testing.assert_allclose(block.mean((2, 3)), vector.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("octave", [1, 2])
def test_a_filter_banks_maps_lie_where_the_image_has_structure(octave: int) -> None:
    pixels = np.full((1, 64, 64, 3), 128, np.uint8)
    pixels[0, 12:20, 44:52] = np.where(np.arange(8) % 4 < 2, 255, 0)[None, :, None]
    heat = maps_of(FILTERS, pixels)[octave].sum((0, 1))
    position = (np.arange(len(heat)) + 0.5) * 64 / len(heat)
    centre = [(heat.sum(axis) * position).sum() / heat.sum() for axis in (1, 0)]
    assert centre == pytest.approx([16, 48], abs=1.5)


def test_finer_blocks_are_averaged_down_to_the_grid(pixels: NDArray[np.uint8]) -> None:
    local = LocalBackbone(backbone=NETWORK, blocks=[0, 2, 4], grid=8)
    fine, same, coarse = local.build(4)(torch.from_numpy(pixels))
    whole = maps_of(NETWORK, pixels)
    expected = whole[0].reshape(5, 64, 8, 4, 8, 4).mean((3, 5))
    np.testing.assert_allclose(fine.detach(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(same.detach(), whole[2], rtol=1e-5)
    np.testing.assert_allclose(coarse.detach(), whole[4], rtol=1e-5)


@pytest.mark.parametrize("embedding", [None, Embedding(dimensions=20, seed=3)])
@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES.keys())
def test_runtimes_agree(
    backbone: Backbone, pixels: NDArray[np.uint8], embedding: Embedding | None
) -> None:
    local = LocalBackbone(backbone=backbone, blocks=[0, 1, 2], grid=12, embedding=embedding)
    built = local.build(2)
    one, two = (
        runtime.compile(built, 64, "cpu")(pixels) for runtime in (TorchRuntime(), OpenVinoRuntime())
    )
    for mine, theirs in zip(one, two, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_an_embedding_holds_as_many_channels_of_all_blocks(pixels: NDArray[np.uint8]) -> None:
    local = LocalBackbone(
        backbone=NETWORK, blocks=[1, 2], grid=16, embedding=Embedding(dimensions=30, seed=1)
    )
    (embedded,) = local.build(2)(torch.from_numpy(pixels))
    assert embedded.shape == (5, 30, 16, 16)
    first = maps_of(NETWORK, pixels)[1]
    own = [
        any(np.allclose(channel, other, rtol=1e-4) for other in first[0])
        for channel in embedded[0].detach().numpy()
    ]
    assert 0 < sum(own) < 30


def test_an_embedding_keeps_all_channels_where_there_are_no_more(
    pixels: NDArray[np.uint8],
) -> None:
    local = LocalBackbone(
        backbone=FILTERS, blocks=[0, 1], grid=8, embedding=Embedding(dimensions=100, seed=0)
    )
    (embedded,) = local.build(1)(torch.from_numpy(pixels))
    assert embedded.shape[1] == 3 + 6


@pytest.mark.parametrize(
    ("blocks", "expected"), [([1, 2, 3, 4], 64 + 128 + 256), ([4], 512)], ids=["some", "all"]
)
def test_coarse_blocks_are_left_out_unless_all_are(
    pixels: NDArray[np.uint8], blocks: list[int], expected: int
) -> None:
    embedding = Embedding(dimensions=1000, seed=0, largest_stride=16)
    local = LocalBackbone(backbone=NETWORK, blocks=blocks, grid=4, embedding=embedding)
    (embedded,) = local.build(4)(torch.from_numpy(pixels))
    assert embedded.shape[1] == expected


def test_what_changes_a_map_is_among_the_facts() -> None:
    embedding = Embedding(dimensions=8, seed=0)
    variants = [
        LocalBackbone(backbone=FILTERS, blocks=[0, 1], grid=8),
        LocalBackbone(backbone=FILTERS, blocks=[0, 2], grid=8),
        LocalBackbone(backbone=FILTERS, blocks=[0, 1], grid=9),
        LocalBackbone(backbone=FILTERS, blocks=[0, 1], grid=8, embedding=embedding),
    ]
    facts = [str(dict(local.facts())) for local in [*variants]]
    assert len({*facts, str(FILTERS.facts())}) == 5
