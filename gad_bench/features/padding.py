"""Padding of a network's convolutions for one size of image, whatever the size that arrives."""

from __future__ import annotations

from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import nn


def pad_for(network: nn.Module, side: int) -> None:
    """Have every convolution that pads for the map that arrives pad for an image's side, in place.

    Args:
        network: of timm; its `Conv2dSame` pad for what arrives.
        side: of the square, in pixels; a convolution deep in the network pads for it as well.
    """
    for name, convolution in list(network.named_modules()):
        if isinstance(convolution, Conv2dSame):
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, _padded(convolution, side))


def _padded(convolution: Conv2dSame, side: int) -> nn.Sequential:
    edges: list[int] = []
    for kernel, stride, dilation in zip(
        reversed(convolution.kernel_size),
        reversed(convolution.stride),
        reversed(convolution.dilation),
        strict=True,
    ):
        total = int(get_same_padding(side, kernel, stride, dilation))
        edges += [total // 2, total - total // 2]
    left, right, top, bottom = edges
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), _plain(convolution))


def _plain(convolution: Conv2dSame) -> nn.Conv2d:
    """Return the same convolution, which does not pad."""
    plain = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (convolution.kernel_size[0], convolution.kernel_size[1]),
        stride=(convolution.stride[0], convolution.stride[1]),
        dilation=(convolution.dilation[0], convolution.dilation[1]),
        groups=convolution.groups,
        bias=convolution.bias is not None,
        device="meta",
    )
    plain.weight, plain.bias = convolution.weight, convolution.bias
    return plain
