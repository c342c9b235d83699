"""Ours beside the published figures, one computation after the other, and why some have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from gad_bench.report.frame import COMPUTATION
from gad_bench.report.published import Published, figures, published, why_none
from gad_bench.report.tables import Cell, Table, measured
from gad_bench.report.text import (
    MEAN,
    all_cells,
    csv_text,
    difference_text,
    figure_text,
    lacking_text,
    markdown_row,
    part_text,
    value_text,
)

NOT_TOLD = "not told"  # by runs that were made before there was a choice


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A published figure and what we got in its place.

    Attributes:
        place: where in our table, the computation left out.
        figure: the published one.
        ours: our cells by computation.
    """

    place: str
    figure: Published
    ours: Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A table beside the published figures.

    Attributes:
        compared: what has a figure.
        computations: ours, the figures' own first.
        apart: why others have none, and how many of the table's cells that concerns.
    """

    compared: Sequence[Compared]
    computations: Sequence[str]
    apart: Mapping[str, int]

    @property
    def head(self) -> list[str]:
        """The names of `rows`."""
        ours = (
            name for own in self.computations for name in (f"ours, {own} computation", "difference")
        )
        return ["", "published", "in", *ours]

    @property
    def rows(self) -> list[list[str]]:
        """What is compared, as text: place, figure, source, and ours by computation."""
        return [_row(one, self.computations) for one in self.compared]

    @property
    def summary(self) -> list[str]:
        """How far ours are by each computation, and what could not be compared."""
        far = [_how_far(own, self.compared) for own in self.computations]
        counted = [
            f"{count} {'number is' if count == 1 else 'numbers are'} not compared: {why}."
            for why, count in self.apart.items()
        ]
        return [*far, *counted]


def compare(table: Table) -> Comparison | None:
    """Hold a table against the published figures; None where it has nothing to do with any."""
    cells = pd.concat(all_cells(table), ignore_index=True)
    known = cells[cells["published"].notna()]
    if known.empty and not table.layout.paper:
        return None
    ours: dict[str, dict[str, Cell]] = {}
    for cell in known.itertuples(index=False):
        by_computation = ours.setdefault(_place(table, cell), {})
        by_computation[getattr(cell, COMPUTATION, "") or NOT_TOLD] = cell
    compared = [
        Compared(place=place, figure=next(iter(own.values())).published, ours=own)
        for place, own in ours.items()
    ]
    return Comparison(compared=compared, computations=_in_order(compared), apart=_apart(table))


def to_markdown(comparison: Comparison) -> str:
    """Return a comparison in Markdown."""
    lines = ["**Beside the published figures**", ""]
    if comparison.compared:
        lines += [markdown_row(comparison.head), markdown_row(["---"] * len(comparison.head))]
        lines += [*map(markdown_row, comparison.rows), ""]
    return "\n".join([*lines, *(f"- {line}" for line in comparison.summary), ""])


def to_csv(comparison: Comparison) -> str:
    """Return a comparison as CSV, a line a figure and computation."""
    lines = [
        {
            "place": csv_text(one.place),
            "published": one.figure.auroc,
            "published_sem": one.figure.sem,
            "published_in": f"{one.figure.source} {one.figure.table}",
            "computation": own,
            "ours": cell.mean,
            "sem": cell.sem,
            "difference": cell.difference,
            "complete": cell.complete,
        }
        for one in comparison.compared
        for own in comparison.computations
        if (cell := one.ours.get(own)) is not None
    ]
    columns = ["place", "published", "published_sem", "published_in", "computation"]
    columns += ["ours", "sem", "difference", "complete"]
    return pd.DataFrame(lines, columns=columns).to_csv(index=False)


def _place(table: Table, cell: Cell) -> str:
    """Return a cell's row and column in words, without the computation."""
    rows = table.layout.rows if cell.row != (MEAN,) else ("category",)
    keys, label = (*rows, *table.layout.columns), (*cell.row, *cell.column)
    named = zip(keys, label, strict=True)
    return ", ".join(part_text(key, value) for key, value in named if key != COMPUTATION and value)


def _in_order(compared: Sequence[Compared]) -> list[str]:
    """Return the computations, those by which figures were made first."""
    there = dict.fromkeys(own for one in compared for own in one.ours)
    theirs = {one.figure.computation for one in compared}
    return sorted(there, key=lambda own: own not in theirs)


def _apart(table: Table) -> dict[str, int]:
    """Return why cells have no figure, and of how many each is true."""
    cells = measured(table.entries, ["row", "column"])
    if table.layout.paper and not any(figure.table in table.layout.paper for figure in figures()):
        numbers = ", ".join(table.layout.paper)
        return {f"no figure of the paper's table {numbers} is known to us": len(cells)}
    return Counter(why_none(*cell) for cell in cells if not published(*cell))


def _row(one: Compared, computations: Sequence[str]) -> list[str]:
    cells = [one.ours.get(own) for own in computations]
    ours = [text for cell in cells for text in _ours(cell)]
    return [one.place, figure_text(one.figure), f"table {one.figure.table}", *ours]


def _ours(cell: Cell) -> tuple[str, str]:
    if cell is None:
        return "", ""
    return value_text(cell), difference_text(cell) or lacking_text(cell)


def _how_far(computation: str, compared: Sequence[Compared]) -> str:
    """Return in words how far ours are from the figures, by one of the computations."""
    cells = {one.place: one.ours[computation] for one in compared if computation in one.ours}
    far = {
        place: abs(cell.difference) for place, cell in cells.items() if pd.notna(cell.difference)
    }
    if not far:
        return f"{computation} computation: no number is complete."
    farthest = max(far, key=lambda place: far[place])
    return (
        f"{computation} computation: {len(far)} compared, {fmean(far.values()):.2f} points apart "
        f"on average, at most {far[farthest]:.1f} ({farthest})."
    )
