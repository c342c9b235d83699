"""The report's files: each table in three formats, each plot, and one page that needs no other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment

from gad_bench.base.files import read_regular, write_text
from gad_bench.figures.style import save_figure
from gad_bench.report import comparison, differences, text
from gad_bench.report.plots import Picture, draw_table
from gad_bench.report.published import catalogue
from gad_bench.report.report import Report
from gad_bench.report.shared_maps import draw_shared_maps
from gad_bench.report.style import svg_element
from gad_bench.report.tables import Cell, Label, Table

PAGE = "report.html"
LIST = ".report"  # names the files of a report, for the next one in its folder
FORMATS = {"csv": text.to_csv, "md": text.to_markdown, "tex": text.to_latex}
SUFFIXES = {".png", ".html", *(f".{name}" for name in FORMATS)}
TEMPLATE = Path(__file__).with_name("page.html")


class Box(NamedTuple):
    """One cell as the page shows it."""

    value: str
    lacking: str
    beside: str
    shade: float  # 0 the table's least value, 1 its greatest
    order: float  # by which the column is sorted
    best: bool


def write_report(report: Report, folder: Path) -> Path:
    """Write each table as CSV, Markdown and LaTeX, the plots as PNG, and the page with all of them.

    What an earlier report left in the folder, and this one has not, is removed.

    Returns:
        the page.
    """
    pictures = {table.layout.name: draw_table(table) for table in report.tables}
    pictures[report.tables[0].layout.name].extend(draw_shared_maps(report.tables[0]))
    plots = {
        f"{picture.name}.png": picture.plot for drawn in pictures.values() for picture in drawn
    }
    texts = {
        f"{table.layout.name}.{suffix}": render(table)
        for table in report.tables
        for suffix, render in FORMATS.items()
    }
    if report.comparison:
        texts["comparison.csv"] = comparison.to_csv(report.comparison)
        texts["comparison.md"] = comparison.to_markdown(report.comparison)
    if report.differences:
        texts["differences.csv"] = differences.to_csv(report.differences)
        texts["differences.md"] = differences.to_markdown(report.differences)
    texts[PAGE] = render_page(report, pictures, folder)
    earlier = _listed(folder)
    for name, plot in plots.items():
        save_figure(plot, folder / name)
    for name, content in texts.items():
        write_text(folder / name, content)
    write_text(folder / LIST, "".join(f"{name}\n" for name in [*plots, *texts]))
    for name in earlier - plots.keys() - texts.keys():
        (folder / name).unlink(missing_ok=True)
    return folder / PAGE


def _listed(folder: Path) -> set[str]:
    """Return the names of the files that an earlier report wrote to a folder."""
    try:
        names = read_regular(folder / LIST).decode().splitlines()
    except (OSError, UnicodeError):
        return set()
    return {name for name in names if Path(name).suffix in SUFFIXES and Path(name).name == name}


def render_page(report: Report, pictures: Mapping[str, Sequence[Picture]], folder: Path) -> str:
    """Return the page.

    Args:
        report: the tables.
        pictures: of each table, by its name.
        folder: where the page will stand, from which it links the runs' figures.
    """
    environment = Environment(autoescape=True, trim_blocks=True)
    environment.globals.update(caption=text.caption, boxes=boxes, head_of=text.head_of)
    environment.globals.update(label_parts=text.label_parts)
    sources, relatives = references(report)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        title=report.tables[0].layout.title,
        facts=facts(report),
        unfinished=list(text.unfinished(report.tables[0])),
        sections=sections(report, pictures),
        sources=sources,
        relatives=relatives,
        links=partial(links, folder=folder),
        how=differences.HOW,
        first_told=differences.FIRST,
    )


def links(table: Table, row: Label, folder: Path) -> dict[str, dict[str, str]]:
    """Return a row's runs, each with the addresses of its figures by their names."""
    entries = table.runs_by_row[row]
    names = (entries["category"].astype(str) + ", fold ").str.cat(entries["fold"].astype(str))
    return {
        name: {
            figure.stem: quote(os.path.relpath(figure, folder))
            for figure in sorted(Path(place).glob("*.png"))
        }
        for name, place in zip(names, entries["place"], strict=True)
        if place and Path(place).is_dir()
    }


def facts(report: Report) -> dict[str, str]:
    """Return what the runs have in common, and how many there are."""
    keys = ("dataset", "backbone", "augmentation", "reduction", "detector", "covariance")
    shown = {"runs": report.tables[0].count_text, "source": report.source}
    for key in keys:
        values = dict.fromkeys(report.runs.get(key, ()))
        shown[key] = ", ".join(value for value in values if value)
    return shown


def boxes(table: Table) -> list[tuple[Label, list[Box | None]]]:
    """Return each row's label and cells."""
    cells = table.cells
    if table.layout.ranked:
        cells = cells[cells["metric"] == cells["metric"].iloc[0]]
    low, high = cells["mean"].min(), cells["mean"].max()
    rows_compete = table.layout.rows == ("category",) and len(table.columns) > 1
    best = rows_compete and table.higher_is_better
    return [
        (label, [_box(cell, (low, high), cells if best else ()) for cell in cells])
        for label, cells in text.rows_of(table)
    ]


def sections(
    report: Report, pictures: Mapping[str, Sequence[Picture]]
) -> list[tuple[Table, list[tuple[str, str]]]]:
    """Return the tables, each with its plots as SVG and their words.

    A table that only turns another round lends it its plots.
    """
    shown: dict[frozenset[str], tuple[Table, list[tuple[str, str]]]] = {}
    for table in report.tables:
        _, drawn = shown.setdefault(frozenset(table.layout.axes), (table, []))
        for picture in pictures[table.layout.name]:
            drawn.append((svg_element(picture.plot, picture.name), picture.words))
    return list(shown.values())


def references(report: Report) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the sources of the published figures in the tables, and other methods' figures."""
    cells = [cells for table in report.tables for cells in (table.cells, table.margin)]
    figures = pd.concat(cells)["published"].dropna()
    known = catalogue()
    names = report.runs.get("dataset.name", ())
    on_mvtec = "mvtec_ad" in set(names)
    used = dict.fromkeys(figure.source for figure in figures)
    return [known["sources"][key] for key in used], known["relatives"] if on_mvtec else []


def _box(cell: Cell, ends: tuple[float, float], rivals: Sequence[Cell]) -> Box | None:
    if cell is None:
        return None
    low, high = ends
    shaded = cell.finished and low <= cell.mean <= high and high > low
    comparable = all(rival is not None and rival.complete for rival in rivals)
    return Box(
        value=text.value_text(cell),
        lacking=text.lacking_text(cell),
        beside=text.published_text(cell) or text.interval_text(cell),
        shade=(cell.mean - low) / (high - low) if shaded else 0.0,
        order=cell.mean if cell.finished else -1.0,
        best=bool(rivals) and comparable and cell.mean == max(rival.mean for rival in rivals),
    )
