"""Heat maps beside their images, masks and contours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gad_bench.evaluation.figures import ANOMALOUS, DPI, GOOD, INK

TRUTH, FOUND = "#00e5ff", "#ff2fd6"  # seen on grey, brown and white images
COLUMNS = ("image", "mask", "heat map", "contour")


class Picture(NamedTuple):
    """An image and what was found in it, all of one size."""

    image: NDArray[np.uint8]  # [height, width, 3] RGB
    mask: NDArray[np.bool_] | None  # [height, width]; None where nobody knows
    heat: NDArray[np.float32]  # [height, width]
    title: str
    anomalous: bool


def draw_heat_maps(
    groups: Mapping[str, Sequence[Picture]],
    threshold: tuple[float, str],
    limits: tuple[float, float],
) -> Figure:
    """Draw groups of pictures side by side: image, mask, heat map and contour in each row.

    Args:
        groups: pictures by what they have in common.
        threshold: the distance at which the contour runs, and what it is.
        limits: the distances at the ends of the colour scale.
    """
    rows = max(len(pictures) for pictures in groups.values())
    figure = Figure(figsize=(5.2 * len(groups), 1.4 * rows + 1), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    scale = None
    widths = [1.0] * len(groups) + [0.15]
    parts = figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for part, (name, pictures) in zip(parts[:-1], groups.items(), strict=True):
        part.suptitle(name, fontsize=10)
        for axes, picture in zip(
            part.subplots(rows, len(COLUMNS), squeeze=False), pictures, strict=False
        ):
            scale = _draw(axes, picture, threshold[0], limits)
        for axes in part.axes[len(pictures) * len(COLUMNS) :]:
            axes.set_axis_off()
    if scale is not None:
        margin = parts[-1].subplots()
        figure.colorbar(scale, cax=margin, label="distance", extend="both", extendfrac=0.02)
    _explain(figure, threshold[1])
    return figure


def _draw(
    row: Sequence[Axes], picture: Picture, threshold: float, limits: tuple[float, float]
) -> Any:  # noqa: ANN401 - what a colour bar is made of
    image, mask, heat, contour = row
    for axes in row:
        axes.set_xticks([])
        axes.set_yticks([])
    image.imshow(picture.image)
    image.set_ylabel(picture.title, fontsize=7, color=ANOMALOUS if picture.anomalous else GOOD)
    if picture.mask is None:
        mask.text(0.5, 0.5, "no mask", ha="center", va="center", transform=mask.transAxes)
    else:
        mask.imshow(picture.mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    scale = heat.imshow(picture.heat, cmap="inferno", vmin=limits[0], vmax=limits[1])
    contour.imshow(picture.image)
    _outline(contour, picture.mask, 0.5, TRUTH)
    _outline(contour, picture.heat, threshold, FOUND)
    return scale


def _outline(axes: Axes, values: NDArray[Any] | None, level: float, colour: str) -> None:
    if values is not None and values.min() < level <= values.max():
        axes.contour(values, levels=[level], colors=[colour], linewidths=1)


def _explain(figure: Figure, threshold: str) -> None:
    lines = [Line2D([], [], color=TRUTH), Line2D([], [], color=FOUND)]
    names = ["outline of the mask", f"heat map at {threshold}"]
    figure.legend(lines, names, loc="outside lower center", ncols=2, fontsize=8, labelcolor=INK)
