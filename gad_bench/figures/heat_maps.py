"""Heat maps beside their images, masks and contours: which a run shows, and their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray

from gad_bench.data.images import read_image, shrink, shrink_mask
from gad_bench.evaluation import Scores
from gad_bench.evaluation.metrics import auroc
from gad_bench.figures.names import as_text, readable
from gad_bench.figures.style import ANOMALOUS, DPI, GOOD, INK, save_figure, save_picture
from gad_bench.patches.heat_maps import HeatMaps
from gad_bench.patches.truth import MaskedMaps

TRUTH, FOUND = "#00e5ff", "#ff2fd6"  # seen on grey, brown and white images
COLUMNS = ("image", "mask", "heat map", "contour")
EACH = 3  # images of each kind
SIDE, OVERLAY_SIDE = 240, 512  # the longer side of a picture, in pixels
OPACITY = 0.55
BEYOND = 0.995  # share of good images' pixels below the contour, where no mask says better


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
    measure: str,
) -> Figure:
    """Draw groups of pictures side by side: image, mask, heat map and contour in each row.

    Args:
        groups: pictures by what they have in common.
        threshold: the distance at which the contour runs, and what it is.
        limits: the distances at the ends of the colour scale.
        measure: what the heat maps are of.
    """
    rows = max(len(pictures) for pictures in groups.values())
    figure = Figure(figsize=(5.2 * len(groups), 1.4 * rows + 1), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    scale = None
    widths = [1.0] * len(groups) + [0.2]
    parts = figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for part, (name, pictures) in zip(parts[:-1], groups.items(), strict=True):
        part.suptitle(name, fontsize=10)
        for axes, picture in zip(
            part.subplots(rows, len(COLUMNS), squeeze=False), pictures, strict=False
        ):
            scale = _draw(axes, picture, threshold[0], limits)
        for axes, column in zip(part.axes, COLUMNS, strict=False):
            axes.set_title(column, fontsize=8, color=INK)
        for axes in part.axes[len(pictures) * len(COLUMNS) :]:
            axes.set_axis_off()
    if scale is not None:
        margin = parts[-1].subplots()
        numbers = ScalarFormatter()
        numbers.set_powerlimits((-2, 3))  # the margin has room for few digits
        bar = figure.colorbar(scale, cax=margin, extend="both", extendfrac=0.02, format=numbers)
        bar.set_label(measure)
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
    colour = ANOMALOUS if picture.anomalous else GOOD
    image.set_ylabel(picture.title, color=colour, **as_text(picture.title), fontsize=7)
    if picture.mask is None:
        mask.set_box_aspect(picture.image.shape[0] / picture.image.shape[1])
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
        frame = axes.get_xlim(), axes.get_ylim()
        axes.contour(values, levels=[level], colors=[colour], linewidths=1)
        axes.set(xlim=frame[0], ylim=frame[1])  # a contour would bring its own


def _explain(figure: Figure, threshold: str) -> None:
    lines = [Line2D([], [], color=TRUTH), Line2D([], [], color=FOUND)]
    names = ["outline of the mask", f"heat map at {threshold}"]
    figure.legend(lines, names, loc="outside lower center", ncols=2, fontsize=8, labelcolor=INK)


def draw_localisation(
    file: Path,
    maps: MaskedMaps,
    scores: Scores,
    metrics: Mapping[str, Any],
    name: str,
    measure: str = "score of a place",
) -> None:
    """Draw image, mask, heat map and contour of the most telling test images.

    Args:
        file: the PNG.
        maps: their heat maps.
        scores: their images' scores.
        metrics: of the heat maps.
        name: of the run.
        measure: what the heat maps are of.
    """
    groups = {
        kind: [_picture(maps, scores, int(row)) for row in rows]
        for kind, rows in _chosen(maps, scores).items()
    }
    figure = draw_heat_maps(groups, _threshold(maps, metrics), _limits(maps.heat), measure)
    save_figure(figure, file, name)


def _chosen(maps: MaskedMaps, scores: Scores) -> dict[str, NDArray[np.intp]]:
    """Return rows of the test images: defects found best and worst, and undecided images.

    A defect is found well where its pixels rank high in its image; without masks, where the image
    scores high.
    """
    anomalous = np.flatnonzero(scores.labels == 1)
    known = anomalous[maps.known[anomalous]]
    if len(known):
        quality = np.array([_quality(maps, int(row)) for row in known])
        ranked = known[np.argsort(-quality, kind="stable")]
    else:
        ranked = anomalous[np.argsort(-scores.combined[anomalous], kind="stable")]
    undecided = np.argsort(np.abs(scores.combined - _boundary(scores)), kind="stable")
    return {
        "defects found best": ranked[:EACH],
        "defects found worst": ranked[::-1][:EACH],
        "borderline: scores between good and anomalous": undecided[:EACH],
    }


def _quality(maps: MaskedMaps, row: int) -> float:
    """Return the AUROC of an image's pixels, on a small copy."""
    mask = shrink_mask(maps.mask(row), SIDE)
    if mask.all():
        return 1.0
    return auroc(mask.ravel(), maps.heat.at_size(row, *mask.shape).ravel())


def _boundary(scores: Scores) -> float:
    """Return the score at which true less false positive rate is highest (Youden 1950)."""
    candidates = np.unique(scores.combined)
    good = np.sort(scores.combined[scores.labels == 0])
    anomalous = np.sort(scores.combined[scores.labels == 1])
    false, missed = (
        np.searchsorted(values, candidates) / len(values) for values in (good, anomalous)
    )
    return float(candidates[np.argmax(false - missed)])


def _threshold(maps: MaskedMaps, metrics: Mapping[str, Any]) -> tuple[float, str]:
    """Return where the contour runs, and what that is."""
    if "pixel_f1_threshold" in metrics:
        return metrics["pixel_f1_threshold"], "the threshold of the best pixel F1 on these masks"
    good = maps.heat.grids[(maps.tested["label"] == 0).to_numpy()]
    return float(np.quantile(good, BEYOND)), f"the {BEYOND:.1%} quantile of good images"


def _limits(maps: HeatMaps) -> tuple[float, float]:
    """Return the distances at the ends of the colour scale, the same for all images."""
    low, high = np.quantile(maps.grids, [0.5, 0.995])
    return float(low), float(high)


def _picture(maps: MaskedMaps, scores: Scores, row: int) -> Picture:
    image = shrink(read_image(maps.tested["path"].iloc[row]), SIDE)
    return Picture(
        image=image,
        mask=shrink_mask(maps.mask(row), SIDE) if maps.known[row] else None,
        heat=maps.heat.at_size(row, *image.shape[:2]),
        title=f"{readable(maps.tested['defect'].iloc[row])}  {scores.combined[row]:#.3g}",
        anomalous=bool(scores.labels[row]),
    )


def write_overlays(images: Sequence[str], maps: HeatMaps, folder: Path) -> None:
    """Write a PNG per image, numbered in their order: the image, and its heat map on it.

    The colours' ends are the same for all of them: the median and the highest distance but for
    0.5 % of the positions.

    Args:
        images: files.
        maps: their heat maps.
        folder: for the pictures.
    """
    ends = _limits(maps)
    for row, path in enumerate(images):
        picture = _overlay(path, maps, row, ends)
        save_picture(picture, folder / f"{row:04d}_{Path(path).stem}.png")


def _overlay(path: str, maps: HeatMaps, row: int, ends: tuple[float, float]) -> NDArray[np.uint8]:
    import cv2

    image = read_image(path)
    small = shrink(image, min(OVERLAY_SIDE, max(image.shape[:2])))
    share = (maps.at_size(row, *small.shape[:2]) - ends[0]) / max(ends[1] - ends[0], 1e-12)
    levels = (255 * np.clip(share, 0, 1)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    mixed = cv2.addWeighted(small, 1 - OPACITY, colours, OPACITY, 0)
    return np.hstack([small, mixed])
