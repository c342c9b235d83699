"""AUROC against a number whose images a seed draws: a line a setting, spread over the draws."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from gad_bench.report.frame import ALL, SHOTS
from gad_bench.report.style import (
    PALE,
    STYLE,
    add_legend,
    beside_legend,
    colours,
    new_figure,
    plain_axes,
)
from gad_bench.report.tables import Label, Table
from gad_bench.report.text import column_text, metric_text

SHARE, DRAW, LARGEST = "contamination", "seed", "largest_contamination"
DRAWN = {(SHARE,): "shares", (SHOTS,): "images"}  # the plot's name by the table's rows
NOTHING = ("", "None")
CLOSE = 1.0  # percentage points


def draw_along_draws(table: Table) -> Figure:
    """Draw each setting's mean over categories; bands are its standard deviation over draws."""
    (key,) = table.layout.rows
    with rc_context(STYLE):
        count = len(table.columns)
        figure = new_figure(beside_legend(3.6, count))
        axes = plain_axes(figure)
        places = _places(table)
        for column, colour in zip(table.columns, colours(count), strict=True):
            points = spread(table, column)
            at, mean = [places[number] for number in points.index], points["mean"]
            axes.plot(at, mean, "o-", color=colour, markersize=4, linewidth=1.6)
            hollow = [not complete for complete in points["complete"]]
            axes.plot(
                np.array(at)[hollow],
                mean[hollow],
                "o",
                color=colour,
                markerfacecolor="white",
                markersize=5,
            )
            axes.fill_between(
                at,
                mean - points["deviation"],
                mean + points["deviation"],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
            axes.plot([], [], "o-", color=colour, label=column_text(table, column))
        if key == SHOTS:
            axes.set_xscale("log", base=2)
            axes.minorticks_off()
            names = {number: f"{number:g}" if np.isfinite(number) else ALL for number in places}
            axes.set(xlabel="good images that are fitted")
        else:
            names = {number: f"{100 * number:g}" for number in places}
            axes.set(xlabel="anomalous training images in %")
        axes.set_xticks(list(places.values()), list(names.values()))
        axes.set(ylabel=metric_text(table))
        axes.grid(axis="y", color=PALE, linewidth=0.7)
        add_legend(axes, count)
        return figure


def spread(table: Table, column: Label) -> pd.DataFrame:
    """Return a setting's AUROC by number: mean and deviation over draws, whether no run lacks.

    Of each draw it is the mean over categories, folds averaged first; the deviation, with n - 1,
    is 0 where there is one draw. All images count as infinitely many.
    """
    (key,) = table.layout.rows
    entries = table.entries[table.entries["column"] == table.columns.index(column)]
    entries = entries.astype({key: str, DRAW: str})
    entries = entries.assign(**{key: entries[key].map(_number)})
    complete = entries["value"].notna().groupby(entries[key]).all()
    entries = entries.dropna(subset="value")
    folds = entries.groupby([key, DRAW, "category"], observed=True)["value"].agg(fmean)
    draws = folds.groupby([key, DRAW]).agg(fmean).groupby(key)
    points = pd.DataFrame({"mean": draws.mean(), "deviation": draws.std().fillna(0.0)})
    return points.join(complete.rename("complete"))


def words_of_draws(table: Table) -> str:
    """Return what the plot shows, on which images."""
    draws = table.runs[DRAW].nunique()
    of_shots = table.layout.rows == (SHOTS,)
    kind = "good images" if of_shots else "anomalous images"
    words = f"Points are means over categories and {draws} draws of the {kind}"
    words += (
        "; bands are one standard deviation over the draws on either side." if draws > 1 else "."
    )
    return words + (_words_of_shots(table) if of_shots else _words_of_shares(table))


def _words_of_shares(table: Table) -> str:
    if table.runs.get(LARGEST, pd.Series(["None"])).astype(str).isin(NOTHING).any():
        return (
            " A larger share leaves fewer anomalous test images: with largest_contamination= all "
            "shares would be scored on the same."
        )
    return " All shares of a draw are scored on the same test images."


def _words_of_shots(table: Table) -> str:
    words = " In a draw, fewer images are among more, and all numbers are scored on the same."
    for column in table.columns:
        means = spread(table, column)["mean"]
        if means.empty:
            words += f" {column_text(table, column)} has no answer with any number."
            continue
        enough = means.index[means >= means.iloc[-1] - CLOSE].min()
        words += (
            f" {column_text(table, column)}: {_named(enough)} are the fewest within "
            f"{CLOSE:g} percentage point of {_named(means.index[-1])}"
        )
        lacking = [number for number in _places(table) if number not in means.index]
        words += f", and no answer with {', '.join(f'{n:g}' for n in lacking)}." if lacking else "."
    return words


def _named(number: float) -> str:
    if not np.isfinite(number):
        return "all images"
    return f"{number:g} images" if number != 1 else "1 image"


def _places(table: Table) -> dict[float, float]:
    """Return where a number's point stands; all images stand one step past the largest number."""
    numbers = sorted(_number(row[0]) for row in table.rows)
    finite = [number for number in numbers if np.isfinite(number)]
    beyond = 2 * max(finite, default=1.0)
    return {number: number if np.isfinite(number) else beyond for number in numbers}


def _number(text: str) -> float:
    return np.inf if text == ALL else float(text)
