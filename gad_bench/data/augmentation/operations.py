"""Changes to an image: tensors float32 [1, 3, H, W], RGB in [0, 1], drawn from a generator.

By kornia, which is maintained, under Apache-2.0, and runs on the torch that is installed anyway.
(albumentations, which the paper's authors used, ended with 2.0.8; its successor is under AGPL-3.0.
torchvision has no motion or median blur, CLAHE or emboss.) Ranges that the paper does not give are
those of albumentations 0.4, of that time and under MIT; its colour steps are of OpenCV's 8-bit HSV.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from kornia import color, enhance, filters
from kornia.geometry import transform
from torch import Tensor

from gad_bench.data.catalog import CategoryFacts

Draw = np.random.Generator


def motion_blur(pixels: Tensor, draw: Draw) -> Tensor:
    """Blur along a line of 3, 5 or 7 pixels in any direction."""
    size, angle = int(draw.choice([3, 5, 7])), draw.uniform(0, 180)
    return filters.motion_blur(pixels, size, angle, 0.0, border_type="reflect")


def chord_blur(pixels: Tensor, draw: Draw) -> Tensor:
    """Blur along a line between any two pixels of a kernel of 3, 5 or 7."""
    size = int(draw.choice([3, 5, 7]))
    columns = draw.integers(size, size=2)
    apart = columns[0] == columns[1]
    rows = draw.permutation(size)[:2] if apart else draw.integers(size, size=2)
    start, end = zip(columns.tolist(), rows.tolist(), strict=True)
    kernel = cv2.line(np.zeros((size, size), np.float32), start, end, 1.0)
    return filters.filter2d(pixels, torch.from_numpy(kernel / kernel.sum())[None], "reflect")


def median_blur(pixels: Tensor, draw: Draw) -> Tensor:  # noqa: ARG001
    """Take the median of 3 x 3 pixels, as if the edges went on outside."""
    wider = torch.nn.functional.pad(pixels, (1, 1, 1, 1), "replicate")
    return filters.median_blur(wider, 3)[..., 1:-1, 1:-1]


def box_blur(pixels: Tensor, draw: Draw) -> Tensor:  # noqa: ARG001
    """Take the mean of 3 x 3 pixels."""
    return filters.box_blur(pixels, 3)


def clahe(pixels: Tensor, draw: Draw, limits: tuple[float, float] = (2.0, 2.0)) -> Tensor:
    """Equalise the lightness locally, with a clip limit between the limits."""
    low, high = limits
    clip = draw.uniform(low, high) if low < high else low
    lab = color.rgb_to_lab(pixels)
    lightness = enhance.equalize_clahe(lab[:, :1] / 100, clip_limit=clip, grid_size=(8, 8))
    return color.lab_to_rgb(torch.cat([lightness * 100, lab[:, 1:]], dim=1))


def sharpen(pixels: Tensor, draw: Draw) -> Tensor:
    """Mix in, by 20 to 50 %, what stands out from the eight pixels around."""
    lightness = draw.uniform(0.5, 1.0)
    kernel = [[-1.0, -1.0, -1.0], [-1.0, 8 + lightness, -1.0], [-1.0, -1.0, -1.0]]
    return _mix(pixels, kernel, draw.uniform(0.2, 0.5))


def emboss(pixels: Tensor, draw: Draw) -> Tensor:
    """Mix in, by 20 to 50 %, a relief lit from the upper left."""
    s = draw.uniform(0.2, 0.7)
    kernel = [[-1 - s, -s, 0], [-s, 1, s], [0, s, 1 + s]]
    return _mix(pixels, kernel, draw.uniform(0.2, 0.5))


def brightness_contrast(pixels: Tensor, draw: Draw) -> Tensor:
    """Scale by -20..+20 % and add -10..+20 % of full scale."""
    return pixels * (1 + draw.uniform(-0.2, 0.2)) + draw.uniform(-0.1, 0.2)


def shift_colour(pixels: Tensor, draw: Draw) -> Tensor:
    """Shift hue by +-10 of 180, saturation by +-30 and value by -10..+20 of 255."""
    hue, saturation, value = color.rgb_to_hsv(pixels).chunk(3, dim=1)
    hue = (hue + 2 * math.pi * draw.uniform(-10, 10) / 180) % (2 * math.pi)
    saturation = saturation + draw.uniform(-30, 30) / 255
    value = value + draw.uniform(-10, 20) / 255
    return color.hsv_to_rgb(torch.cat([hue, saturation.clamp(0, 1), value.clamp(0, 1)], dim=1))


def shared_noise(pixels: Tensor, draw: Draw) -> Tensor:
    """Add Gaussian noise of 1 to 3 % of full scale, the same to all channels."""
    return pixels + _noise((1, 1, *pixels.shape[2:]), draw)


def channel_noise(pixels: Tensor, draw: Draw) -> Tensor:
    """Add Gaussian noise of 1 to 3 % of full scale, to each channel its own."""
    return pixels + _noise(pixels.shape, draw)


def flip(pixels: Tensor) -> Tensor:
    """Mirror left and right."""
    return pixels.flip(3)


def quarter_turn(pixels: Tensor, draw: Draw) -> Tensor:
    """Rotate by 0, 90, 180 or 270 degrees; a rectangle, which keeps its shape, by 0 or 180."""
    height, width = pixels.shape[2:]
    turns = draw.integers(4) if height == width else 2 * draw.integers(2)
    return torch.rot90(pixels, int(turns), (2, 3))


def shift_scale_rotate(pixels: Tensor, draw: Draw, category: CategoryFacts) -> Tensor:
    """Shift, scale and rotate within the category's limits; the edges are mirrored outwards."""
    height, width = pixels.shape[2:]
    limit = category.shift_limit
    angle = draw.uniform(-category.rotation_limit, category.rotation_limit)
    scale = 1 + draw.uniform(*category.scale_limits)
    shift = draw.uniform(-limit, limit, 2) * (width, height)
    matrix = transform.get_affine_matrix2d(
        translations=_row(*shift),
        center=_row((width - 1) / 2, (height - 1) / 2),
        scale=_row(scale, scale),
        angle=torch.tensor([angle], dtype=torch.float32),
    )
    return transform.warp_affine(pixels, matrix[:, :2], (height, width), padding_mode="reflection")


def _mix(pixels: Tensor, kernel: list[list[float]], share: float) -> Tensor:
    weights = torch.tensor([kernel], dtype=pixels.dtype)
    return (1 - share) * pixels + share * filters.filter2d(pixels, weights, "reflect")


def _noise(shape: tuple[int, ...], draw: Draw) -> Tensor:
    deviation = draw.uniform(0.01, 0.03)
    return torch.from_numpy(draw.standard_normal(shape, np.float32)) * deviation


def _row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float32)
