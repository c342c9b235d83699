"""The heat maps of several methods side by side, for the same images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gad_bench.base.errors import UserError
from gad_bench.base.run_folder import EXAMPLES
from gad_bench.patches.examples import Example, read_examples
from gad_bench.report.frame import Status, one_row_each, varying
from gad_bench.report.plots import Picture
from gad_bench.report.style import STYLE, WIDTH, new_figure
from gad_bench.report.tables import Table
from gad_bench.report.text import part_text

log = logging.getLogger(__name__)

MOST = 12  # methods beside one another
WORDS = (
    "{category}: the same test images by each method, brightest where it is most anomalous. Each "
    "has colours of its own, from the median of its maps here to their highest value but for "
    "0.5 %; the outline is the defect's mask."
)
COLOURS = "inferno"
WIDE = 4  # methods whose names have room beside one another


def draw_shared_maps(table: Table) -> list[Picture]:
    """Return a picture a category that has the heat maps of several methods.

    Args:
        table: whose runs are looked at; the methods stand in the order of its rows or columns.
    """
    runs = one_row_each(table.entries)
    runs = runs[(runs["status"] == Status.FINISHED) & (runs["place"] != "")]
    pictures = []
    for category, own in _named(runs).groupby("category", sort=False, observed=True):
        found = _maps_by_method(own)
        if len(found) > 1:
            figure = draw_maps(found)
            words = WORDS.format(category=category)
            pictures.append(Picture(f"maps_{category}".replace("/", "_"), figure, words))
    return pictures


def draw_maps(methods: Mapping[str, Sequence[Example]]) -> Figure:
    """Draw a row an image: the image, its mask, and one heat map a method.

    Args:
        methods: each one's examples, of the same images.
    """
    examples = next(iter(methods.values()))
    columns = 2 + len(methods)
    aspects = [example.image.shape[0] / example.image.shape[1] for example in examples]
    width = WIDTH / columns
    with rc_context(STYLE):
        figure = new_figure(0.45 + width * sum(aspects) * 1.06)
        axes = figure.subplots(len(examples), columns, squeeze=False, height_ratios=aspects)
        for row, example in enumerate(examples):
            _show(axes[row, 0], example.image)
            axes[row, 0].set_ylabel(example.defect, fontsize=7)
            _show(axes[row, 1], example.mask, cmap="gray", vmin=0, vmax=1)
        for column, (name, own) in enumerate(methods.items(), 2):
            values = np.concatenate([example.heat.ravel() for example in own])
            low, high = np.quantile(values, [0.5, 0.995])
            _name(axes[0, column], name, narrow=len(methods) > WIDE)
            for row, example in enumerate(own):
                _show(axes[row, column], example.heat, cmap=COLOURS, vmin=low, vmax=high)
                if example.mask.any():
                    axes[row, column].contour(example.mask, [0.5], colors="white", linewidths=0.6)
        for column, name in enumerate(("image", "mask")):
            _name(axes[0, column], name, narrow=False)
        return figure


def _name(axes: Axes, name: str, *, narrow: bool) -> None:
    """Put a column's name above it: a line a part or, where columns are narrow, a line a word."""
    text = name.replace(", ", ",\n")
    axes.set_title(text.replace("_", "_\n") if narrow else text, fontsize=7)


def _show(axes: Axes, values: Any, **colours: Any) -> None:  # noqa: ANN401 - an array; matplotlib's
    axes.imshow(values, interpolation="nearest", **colours)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _named(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with what each one's method is called: all by which they differ."""
    keys = varying(runs) or ("detector",)
    parts = [[part_text(key, str(value)) for value in runs[key]] for key in keys if key in runs]
    names = [", ".join(filter(None, values)) for values in zip(*parts, strict=True)]
    return runs.assign(method=names)


def _maps_by_method(runs: pd.DataFrame) -> dict[str, list[Example]]:
    """Return each method's examples of the images that all of them have; the first fold's."""
    found: dict[str, dict[str, Example]] = {}
    for method, place in zip(runs["method"], runs["place"], strict=True):
        file = Path(place) / EXAMPLES
        if method in found or not file.is_file() or len(found) == MOST:
            continue
        try:
            found[method] = {example.path: example for example in read_examples(file)}
        except UserError as error:
            log.warning("%s", error)
    if not found:
        return {}
    paths = list(next(iter(found.values())))
    common = [path for path in paths if all(path in own for own in found.values())]
    return {name: [own[path] for path in common] for name, own in found.items() if common}
