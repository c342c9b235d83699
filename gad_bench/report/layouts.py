"""Which tables a report shows: one of those with a name, any two keys, or what fits any runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import yaml

from gad_bench.base.errors import UserError
from gad_bench.report.runs import Run
from gad_bench.report.tables import Layout

TABLES = Path(__file__).with_name("tables.yaml")
FOR_ANY_RUNS = ("per_category", "per_block")

Where = Mapping[str, Sequence[str]]


@cache
def named_layouts() -> dict[str, Layout]:
    """Return the tables that have a name."""
    described = yaml.safe_load(TABLES.read_text(encoding="utf-8"))
    return {
        name: Layout(
            name=name,
            title=entry["title"],
            rows=tuple(entry["rows"]),
            columns=tuple(entry["columns"]),
            where=entry.get("where", {}),
            prefer=entry.get("prefer", {}),
        )
        for name, entry in described.items()
    }


def named_layout(name: str, where: Where) -> Layout:
    """Return a table by its name, for the runs that have the given values.

    Raises:
        UserError: there is no table of that name.
    """
    known = named_layouts()
    if name not in known:
        raise UserError(f"there is no table {name!r}: choose from {', '.join(known)}")
    return replace(known[name], where={**known[name].where, **where})


def pivot(rows: str, columns: str, where: Where) -> Layout:
    """Return the table of any two keys; several keys joined by "+" make one axis."""
    return Layout(
        name=f"{rows}_by_{columns}".replace("/", "_"),
        title=f"{rows} by {columns}",
        rows=tuple(rows.split("+")),
        columns=tuple(columns.split("+")),
        where=where,
    )


def own_table(runs: Sequence[Run]) -> str | None:
    """Return the name of the table that all runs were made for, None where there is none."""
    experiments = {run.keys.get("experiment", "") for run in runs}
    return next(iter(experiments & set(named_layouts())), None) if len(experiments) == 1 else None
