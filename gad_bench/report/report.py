"""Which tables a report shows: one of those with a name, any two keys, or what fits any runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import pandas as pd
import yaml

from gad_bench.base.errors import UserError
from gad_bench.report.comparison import Comparison, compare
from gad_bench.report.cost import LATENCY
from gad_bench.report.differences import Differences, find_differences
from gad_bench.report.frame import Run, long_frame, one_run_each
from gad_bench.report.tables import Layout, Table, fill

LAYOUTS = Path(__file__).with_name("tables.yaml")
FOR_ANY_RUNS = ("per_category", "per_block")
MOST_COLUMNS = 12  # settings that stand beside each other

Where = Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which tables are wanted.

    Attributes:
        table: a table's name; None: that of the runs' experiment, if it has one.
        axes: the keys of rows and columns, in place of a named table; "+" joins several.
        where: keys and values that the runs must have.
    """

    table: str | None = None
    axes: tuple[str, str] | None = None
    where: Where


@dataclass(frozen=True, kw_only=True)
class Report:
    """Tables over some runs.

    Attributes:
        tables: the one that was asked for first.
        repeated: how many finished runs were left out because a newer one repeats them.
        source: where the runs come from.
    """

    tables: Sequence[Table]
    repeated: int
    source: str

    @property
    def runs(self) -> pd.DataFrame:
        """One row of each run that the report is about, one a job."""
        return self.tables[0].runs

    @cached_property
    def comparison(self) -> Comparison | None:
        """The first table beside the published figures; None where no figure concerns it."""
        return compare(self.tables[0])

    @cached_property
    def differences(self) -> list[Differences]:
        """The settings of each category on the same test images, where a table has them."""
        return next(filter(None, map(find_differences, self.tables)), [])

    @property
    def repeated_text(self) -> str:
        """What is said of repeated runs; empty where there is none."""
        if not self.repeated:
            return ""
        return f"{self.repeated} finished runs repeat a job: of each, the newest counts."


def make_report(runs: Iterable[Run], request: Request, source: str) -> Report:
    """Make the tables that are asked for, and those that any runs have.

    Raises:
        UserError: no run fits, a name or a key is unknown, or a table would mix settings.
    """
    jobs, repeated = one_run_each(long_frame(runs))
    first = [fill(layout, jobs) for layout in _wanted(jobs, request)]
    covered = first[0].frame if first else jobs
    repeats = first[0].layout.repeats if first else ()
    further = _for_any_runs(covered, request.where)
    more = [fill(replace(layout, repeats=repeats), covered) for layout in further]
    shown = [table.layout.axes for table in first]
    tables = first + [table for table in more if table.layout.axes not in shown]
    return Report(tables=tables, repeated=repeated, source=source)


@cache
def named_layouts() -> dict[str, Layout]:
    """Return the tables that have a name."""
    described = yaml.safe_load(LAYOUTS.read_text(encoding="utf-8"))
    return {
        name: Layout(
            name=name,
            title=entry["title"],
            rows=tuple(entry["rows"]),
            columns=tuple(entry["columns"]),
            where=entry.get("where", {}),
            prefer=entry.get("prefer", {}),
            order=entry.get("order", {}),
            ranked=entry.get("ranked", False),
            repeats=tuple(entry.get("repeats", ())),
            paper=tuple(entry.get("paper", ())),
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


def _wanted(frame: pd.DataFrame, request: Request) -> list[Layout]:
    if request.axes:
        return [_layout_of_keys(*request.axes, request.where)]
    name = request.table or _table_of_experiment(frame)
    return [named_layout(name, request.where)] if name else []


def _for_any_runs(frame: pd.DataFrame, where: Where) -> list[Layout]:
    """Return the layouts of settings beside each other; many stand below each other, ranked."""
    layouts = [named_layout(name, where) for name in FOR_ANY_RUNS]
    if (frame["metric"] == LATENCY).any():
        layouts.append(named_layout("cost", where))
    if frame["setting"].nunique() <= MOST_COLUMNS:
        return layouts
    turned = [replace(layout, rows=layout.columns, columns=layout.rows) for layout in layouts]
    return [named_layout("leaderboard", where), *turned]


def _layout_of_keys(rows: str, columns: str, where: Where) -> Layout:
    return Layout(
        name=f"{rows}_by_{columns}".replace("/", "_"),
        title=f"{rows} by {columns}",
        rows=tuple(rows.split("+")),
        columns=tuple(columns.split("+")),
        where=where,
    )


def _table_of_experiment(frame: pd.DataFrame) -> str | None:
    """Return the name of the table that all runs were made for, None where there is none."""
    experiments = set(frame["experiment"]) if "experiment" in frame else set()
    return next(iter(experiments & set(named_layouts())), None) if len(experiments) == 1 else None
