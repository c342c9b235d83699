"""A report: the tables over some runs, and its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from gad_bench.base.files import whole_file, write_text
from gad_bench.report.layouts import FOR_ANY_RUNS, Where, named_layout, own_table, pivot
from gad_bench.report.runs import Run, one_run_each
from gad_bench.report.tables import Layout, Table, fill
from gad_bench.report.text import to_csv, to_latex, to_markdown

PAGE = "report.html"
DPI = 120
FORMATS = {"csv": to_csv, "md": to_markdown, "tex": to_latex}


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which tables are wanted.

    Attributes:
        table: a table's name; None: that of the runs' experiment, if it has one.
        axes: the keys of rows and columns, in place of a named table.
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
        runs: one a job.
        repeated: how many finished runs were left out because a newer one repeats them.
        source: where the runs come from.
    """

    tables: Sequence[Table]
    runs: Sequence[Run]
    repeated: int
    source: str

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
    jobs, repeated = one_run_each(runs)
    wanted = _wanted(jobs, request)
    first = [fill(layout, jobs) for layout in wanted]
    covered = first[0].runs if first else jobs
    more = [fill(named_layout(name, request.where), covered) for name in FOR_ANY_RUNS]
    shown = [table.layout.axes for table in first]
    tables = first + [table for table in more if table.layout.axes not in shown]
    return Report(tables=tables, runs=covered, repeated=repeated, source=source)


def write_report(report: Report, folder: Path) -> Path:
    """Write each table as CSV, Markdown and LaTeX, the plots as PNG, and the page with all of them.

    Returns:
        the page.
    """
    from gad_bench.report.figures import figures
    from gad_bench.report.page import render_page

    drawn = {table.layout.name: figures(table) for table in report.tables}
    for figure in chain.from_iterable(drawn.values()):
        with whole_file(folder / f"{figure.name}.png") as file:
            figure.plot.savefig(file, format="png", dpi=DPI)
    for table in report.tables:
        for suffix, render in FORMATS.items():
            write_text(folder / f"{table.layout.name}.{suffix}", render(table))
    write_text(folder / PAGE, render_page(report, drawn))
    return folder / PAGE


def _wanted(runs: Sequence[Run], request: Request) -> list[Layout]:
    if request.axes:
        return [pivot(*request.axes, request.where)]
    name = request.table or own_table(runs)
    return [named_layout(name, request.where)] if name else []
