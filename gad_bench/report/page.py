"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gad_bench.report import text
from gad_bench.report.cells import Cell, Label
from gad_bench.report.drawing import svg_element
from gad_bench.report.figures import Figure
from gad_bench.report.published import catalogue, published
from gad_bench.report.report import Report
from gad_bench.report.tables import Table, margin

TEMPLATE = Path(__file__).with_name("page.html")


class Box(NamedTuple):
    """One cell as the page shows it."""

    value: str
    lacking: str
    beside: str
    shade: float  # 0 the table's least value, 1 its greatest
    order: float  # by which the column is sorted
    best: bool


def render_page(report: Report, figures: Mapping[str, Sequence[Figure]]) -> str:
    """Return the page.

    Args:
        report: the tables.
        figures: the plots of each table, by its name.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    environment.globals.update(caption=text.caption, boxes=boxes, head_of=text.head_of)
    sources, relatives = references(report)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        title=report.tables[0].layout.title,
        facts=facts(report),
        unfinished=list(text.unfinished(report.tables[0])),
        sections=sections(report, figures),
        sources=sources,
        relatives=relatives,
    )


def facts(report: Report) -> dict[str, str]:
    """Return what the runs have in common, and how many there are."""
    keys = ("dataset", "backbone", "augmentation", "reduction", "covariance")
    shown = {"runs": report.tables[0].count_text, "source": report.source}
    for key in keys:
        values = dict.fromkeys(run.keys.get(key, "") for run in report.runs)
        shown[key] = ", ".join(value for value in values if value)
    return shown


def boxes(table: Table) -> list[tuple[Label, list[Box | None]]]:
    """Return each row's label and cells."""
    means = [cell.mean for cell in table.cells.values() if cell.mean is not None]
    low, high = min(means, default=0.0), max(means, default=1.0)
    rows_compete = table.layout.rows == ("category",) and len(table.columns) > 1
    best = rows_compete and table.higher_is_better
    return [
        (label, [_box(cell, low, high, cells if best else ()) for cell in cells])
        for label, cells in text.rows_of(table)
    ]


def sections(
    report: Report, figures: Mapping[str, Sequence[Figure]]
) -> list[tuple[Table, list[tuple[str, str]]]]:
    """Return the tables, each with its plots as SVG and their words.

    A table that only turns another round lends it its plots.
    """
    found: dict[frozenset[str], tuple[Table, list[tuple[str, str]]]] = {}
    for table in report.tables:
        _, shown = found.setdefault(frozenset(table.layout.axes), (table, []))
        for figure in figures[table.layout.name]:
            shown.append((svg_element(figure.plot, figure.name), figure.words))
    return list(found.values())


def references(report: Report) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the sources of the published figures in the tables, and other methods' figures."""
    cells = [cell for table in report.tables for cell in table.cells.values()]
    cells += [cell for table in report.tables for _, cell in margin(table)]
    used = dict.fromkeys(figure.source for cell in cells if (figure := published(cell)))
    known = catalogue()
    on_mvtec = any(run.keys.get("dataset.name") == "mvtec_ad" for run in report.runs)
    return [known["sources"][key] for key in used], known["relatives"] if on_mvtec else []


def _box(cell: Cell | None, low: float, high: float, rivals: Sequence[Cell | None]) -> Box | None:
    if cell is None:
        return None
    figure = published(cell)
    comparable = all(rival is not None and rival.complete for rival in rivals)
    means = [rival.mean for rival in rivals if rival is not None and rival.mean is not None]
    return Box(
        value=text.value_text(cell),
        lacking=cell.lacking,
        beside=text.published_text(cell, figure) if figure else "",
        shade=0.0 if cell.mean is None or high == low else (cell.mean - low) / (high - low),
        order=-1.0 if cell.mean is None else cell.mean,
        best=comparable and cell.mean == max(means, default=None),
    )
