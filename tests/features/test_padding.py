from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from gad_bench.config import build, compose_config
from gad_bench.features.padding import pad_for
from gad_bench.features.runtime import OpenVinoRuntime, TorchRuntime
from gad_bench.features.timm_backbone import TimmBackbone

TAPS = ["bn1", *(f"blocks.{stage}" for stage in range(7)), "bn2"]
RESNET = ["maxpool", "layer1", "layer2", "layer3", "layer4"]


def network(number: int, **values: object) -> TimmBackbone:
    """Return EfficientNet B`number` with random weights, padded for its nominal size."""
    config = compose_config(
        ["computation=published", f"backbone=efficientnet-b{number}", "backbone.pretrained=false"]
    )
    for key, value in values.items():
        config.backbone[key] = value
    return build(config.backbone)


def image(side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(side).integers(0, 256, (1, side, side, 3), np.uint8)


@pytest.mark.parametrize("side", [380, 455])
@pytest.mark.parametrize("arriving", [11, 12])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (5, 1), (1, 2)])
def test_a_convolution_pads_for_the_nominal_side_whatever_arrives(
    kernel: int, stride: int, arriving: int, side: int
) -> None:
    torch.manual_seed(0)
    convolution = Conv2dSame(3, 6, kernel, stride=stride, groups=3)
    module = nn.Sequential(nn.Sequential(convolution))
    pad_for(module, side)
    maps = torch.randn(2, 3, arriving, arriving)
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    before, after = total // 2, total - total // 2
    padded = torch.zeros(2, 3, arriving + total, arriving + total)
    padded[:, :, before : before + arriving, before : before + arriving] = maps
    weight, bias = convolution.weight, convolution.bias
    expected = torch.conv2d(padded, weight, bias, stride=stride, groups=3)
    assert after - before in (0, 1)
    torch.testing.assert_close(module(maps), expected)


def test_b4s_deeper_maps_are_eleven_wide_and_twelve_where_what_arrives_is_padded_for() -> None:
    pixels = torch.from_numpy(image(380))
    with torch.inference_mode():
        nominal, dynamic = (
            [block.shape[-1] for block in network(4, padding=padding).build_maps(8)(pixels)]
            for padding in ("nominal", "dynamic")
        )
    assert nominal == [190, 190, 95, 47, 23, 23, 11, 11, 11]
    assert dynamic == [190, 190, 95, 48, 24, 24, 12, 12, 12]


@pytest.mark.parametrize(
    ("number", "block"), [(1, 6), (2, 3), (3, 3), (4, 3), (5, 4), (6, 6), (7, 4)]
)
def test_features_differ_from_the_published_block_on(number: int, block: int) -> None:
    """By the rule of the sides: the first convolution of stride 2 to which an odd side comes."""
    side = network(number).image_size()
    strides = [2, 1, 2, 2, 2, 1, 2, 1, 1]
    first = None
    for position, stride in enumerate(strides):
        if stride == 2 and side % 2 and first is None:
            first = position
        side = math.ceil(side / stride)
    assert first == block
    assert network(number).facts()["padding"] == "nominal"


def test_b0_is_the_same_and_has_the_same_key() -> None:
    nominal, dynamic = network(0), network(0, padding="dynamic")
    assert nominal.facts() == dynamic.facts()
    assert "padding" not in dynamic.facts()
    maps = torch.from_numpy(image(224))
    with torch.inference_mode():
        pairs = zip(nominal.build(8)(maps), dynamic.build(8)(maps), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_a_network_that_does_not_pad_by_size_has_no_padding_in_its_key() -> None:
    values = {"name": "resnet18", "pretrained": False, "input_size": 225, "taps": RESNET}
    nominal, dynamic = (TimmBackbone(**values, padding=name) for name in ("nominal", "dynamic"))
    assert nominal.facts() == dynamic.facts()


def test_both_runtimes_give_the_same_pooled_features_and_maps() -> None:
    backbone = network(2)
    for module in (backbone.build(4), backbone.build_maps(4)):
        found = OpenVinoRuntime().compile(module, 260, "cpu")(image(260))
        expected = TorchRuntime().compile(module, 260, "cpu")(image(260))
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max() <= 1e-4 * np.abs(other).max()
