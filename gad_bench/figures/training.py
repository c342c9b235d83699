"""How networks were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gad_bench.figures.style import ANOMALOUS, GOOD, INK, new_figure

Curves = Mapping[str, Sequence[float]]


def training_curves(folds: Sequence[Curves], best_epochs: Sequence[int]) -> Figure:
    """Draw the losses, and the validation AUROC where there is one, over the epochs.

    Args:
        folds: a value an epoch by name, one a fold.
        best_epochs: whose weights were kept, marked.
    """
    has_auroc = all("validation_auroc" in curves for curves in folds)
    figure, grid = new_figure(1 + has_auroc, size=(4.5 * (1 + has_auroc) + 0.5, 3.8))
    for number, (curves, best) in enumerate(zip(folds, best_epochs, strict=True)):
        _draw(grid[0], curves, "training_loss", GOOD, best, named=number == 0)
        _draw(grid[0], curves, "validation_loss", ANOMALOUS, best, named=number == 0)
        if has_auroc:
            _draw(grid[1], curves, "validation_auroc", ANOMALOUS, best, named=False)
    grid[0].set_title("mean loss of an image", fontsize=10)
    grid[0].legend(fontsize=8)
    if has_auroc:
        grid[1].set_title("validation AUROC", fontsize=10)
    for axes in grid:
        axes.set(xlabel="epoch; dotted: the one that was kept")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw(axes: Axes, curves: Curves, name: str, colour: str, best: int, *, named: bool) -> None:
    label = name.replace("_", " ") if named else None
    axes.plot(range(len(curves[name])), curves[name], color=colour, marker=".", label=label)
    axes.axvline(best, color=INK, linewidth=0.8, linestyle=":")
