"""AUROC against the share of anomalous training images, a line a setting, spread over the draws."""

from __future__ import annotations

from statistics import fmean

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

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
NOTHING = ("", "None")


def draw_contamination(table: Table) -> Figure:
    """Draw each setting's mean over categories; bands are its standard deviation over draws."""
    with rc_context(STYLE):
        count = len(table.columns)
        figure = new_figure(beside_legend(3.6, count))
        axes = plain_axes(figure)
        for column, colour in zip(table.columns, colours(count), strict=True):
            points = spread(table, column)
            share, mean = 100 * points.index.to_numpy(), points["mean"]
            axes.plot(share, mean, "o-", color=colour, markersize=4, linewidth=1.6)
            axes.fill_between(
                share,
                mean - points["deviation"],
                mean + points["deviation"],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
            axes.plot([], [], "o-", color=colour, label=column_text(table, column))
        shares = [100 * float(row[0]) for row in table.rows]
        axes.set_xticks(shares, [f"{share:g}" for share in shares])
        axes.set(xlabel="anomalous training images in %", ylabel=metric_text(table))
        axes.grid(axis="y", color=PALE, linewidth=0.7)
        add_legend(axes, count)
        return figure


def spread(table: Table, column: Label) -> pd.DataFrame:
    """Return a setting's AUROC by share: its mean over draws and its standard deviation over them.

    Of each draw it is the mean over categories, folds averaged first; the deviation, with n - 1,
    is 0 where there is one draw.
    """
    entries = table.entries[table.entries["column"] == table.columns.index(column)]
    entries = entries.dropna(subset="value").astype({SHARE: str, DRAW: str})
    entries = entries.assign(**{SHARE: entries[SHARE].astype(float)})
    folds = entries.groupby([SHARE, DRAW, "category"], observed=True)["value"].agg(fmean)
    draws = folds.groupby([SHARE, DRAW]).agg(fmean).groupby(SHARE)
    return pd.DataFrame({"mean": draws.mean(), "deviation": draws.std().fillna(0.0)})


def contamination_words(table: Table) -> str:
    """Return what the plot shows and on which test images."""
    draws = table.runs[DRAW].nunique()
    words = f"Points are means over categories and {draws} draws of the anomalous images"
    words += (
        "; bands are one standard deviation over the draws on either side." if draws > 1 else "."
    )
    if table.runs.get(LARGEST, pd.Series(["None"])).astype(str).isin(NOTHING).any():
        return words + (
            " A larger share leaves fewer anomalous test images: with largest_contamination= all "
            "shares would be scored on the same."
        )
    return words + " All shares of a draw are scored on the same test images."
