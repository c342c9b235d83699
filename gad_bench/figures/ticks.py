"""The ticks of a plot, as few artists as are seen."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, MarkerStyle
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

LENGTH, WIDTH, PAD = 3.5, 0.8, 7.0  # points, as matplotlib has them
ROUNDING = 1e-9  # of an axis's length


def draw_ticks(axes: Axes) -> None:
    """Put a line of marks and plain names in the place of the ticks, once the limits are final.

    Each tick of matplotlib's is five artists, of which two are seen, and takes twice as long. An
    axis with minor ticks, or with a factor beside it as 1e6, keeps its own.
    """
    for axis in (axes.xaxis, axes.yaxis):
        places, formatter = axis.get_majorticklocs(), axis.get_major_formatter()
        names = np.array(formatter.format_ticks(places.tolist()), str)
        if not len(axis.get_minorticklocs()) and not formatter.get_offset():
            seen = _in_sight(axis, places)
            _draw(axes, axis, places[seen], names[seen])
            axis.set_major_locator(NullLocator())


def _in_sight(axis: Axis, places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which places [ticks] lie between the ends of an axis."""
    transform = axis.get_transform().transform
    first, last = transform(np.array(axis.get_view_interval()))
    shares = (transform(places) - first) / (last - first)
    return (shares >= -ROUNDING) & (shares <= 1 + ROUNDING)


def _draw(axes: Axes, axis: Axis, places: NDArray[np.float64], names: NDArray[np.str_]) -> None:
    zeros = np.zeros(len(places))
    if axis is axes.xaxis:
        at, look = (places, zeros), MarkerStyle(TICKDOWN)
        on_spine = axes.get_xaxis_transform("tick1")
        beside, va, ha = axes.get_xaxis_text1_transform(PAD)
    else:
        at, look = (zeros, places), MarkerStyle(TICKLEFT)
        on_spine = axes.get_yaxis_transform("tick1")
        beside, va, ha = axes.get_yaxis_text1_transform(PAD)
    marks = Line2D(*at, linestyle="none", marker=look, markersize=LENGTH, color="black",
                   markeredgewidth=WIDTH, transform=on_spine, clip_on=False)  # fmt: skip
    axes.add_artist(marks)
    for x, y, name in zip(*at, names, strict=True):
        axes.text(x, y, name, transform=beside, va=va, ha=ha)
