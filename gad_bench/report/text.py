"""Tables as text: what a cell says, Markdown, LaTeX and CSV."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import pandas as pd

from gad_bench.report.frame import MEASURE, Status, factor
from gad_bench.report.published import Published
from gad_bench.report.tables import Cell, Label, Table
from gad_bench.steps.parts import SUPERVISED

NAMES = {
    "auroc": "AUROC in %",
    "aupr": "average precision in %",
    "pixel_auroc": "AUROC of pixels in %",
    "pixel_ap": "average precision of pixels in %",
    "aupro": "AUPRO in %",
    "fpr": "false positive rate in %",
    "tpr": "true positive rate in %",
    "cost_latency_ms": "latency in ms",
    "cost_latency_p95_ms": "latency in ms, 95th percentile",
    "cost_images_per_second": "images/s in batches",
    "cost_seconds_fit": "time to fit in s",
    "cost_memory_mb": "process memory in MB",
    "cost_device_memory_mb": "GPU memory in MB",
    "cost_size_mb": "saved size in MB",
}
INTERVAL = "of one category the 95 % interval over the test images"
MEAN = "all categories"  # the last row of a table of categories
NUMBER = re.compile(r"[\d.]+")
FORMULA = re.compile(r"[=+\-@\t\r](?![\d.]+(e[+-]?\d+)?$).*", re.DOTALL)  # to a spreadsheet
LATEX = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "\N{MINUS SIGN}": "$-$"}
)
CSV_COLUMNS = (
    *("mean", "sem", "categories", "finished", "failed", "missing", "expected"),
    *("published", "published_sem", "difference", "published_in", "low", "high"),
)


def metric_name(metric: str) -> str:
    """Return what a metric is called, with its unit."""
    return NAMES.get(metric, f"{metric} in %" if factor(metric) != 1 else metric)


def label_text(label: Sequence[str]) -> str:
    """Return a label's values beside each other."""
    return " ".join(map(_short, filter(None, label)))


def _short(value: str) -> str:
    """Return a class of ours by its name alone."""
    return value.rpartition(".")[2] if value.startswith("gad_bench.") else value


def row_text(table: Table, row: Label) -> str:
    """Return a row's values beside each other, numbers with the last part of their key."""
    return label_text([part_text(k, v) for k, v in zip(table.layout.rows, row, strict=True)])


def part_text(key: str, value: str) -> str:
    """Return a value, a number with the last part of its key."""
    return f"{key.rpartition('.')[2]} {value}" if NUMBER.fullmatch(value) else value


def column_text(table: Table, column: Label) -> str:
    """Return a column's name: a number alone is named by its key."""
    if len(column) == 1 and NUMBER.fullmatch(column[0]):
        return f"{table.layout.columns[0].rpartition('.')[2]} {column[0]}"
    if table.layout.columns == ("metric",):
        return metric_name(column[0])
    return label_text(column) or metric_text(table)


def head_of(table: Table) -> list[str]:
    """Return the first line: the keys of the rows, then the columns' names."""
    return [*table.layout.rows, *(column_text(table, column) for column in table.columns)]


def number_text(value: float, metric: str) -> str:
    """Return a number as it is printed: percent with one decimal, others with three digits."""
    if factor(metric) != 1:
        return f"{value:.1f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def value_text(cell: Cell) -> str:
    """Return a cell's mean and SEM, or why it has none."""
    if pd.isna(cell.mean):
        return str(Status.FAILED if cell.failed else Status.MISSING)
    mean = number_text(cell.mean, cell.metric)
    return mean if pd.isna(cell.sem) else f"{mean} ± {number_text(cell.sem, cell.metric)}"


def interval_text(cell: Cell) -> str:
    """Return the interval of a cell of one category; empty where there is none."""
    if cell.categories != 1 or pd.isna(cell.low):
        return ""
    return f"{number_text(cell.low, cell.metric)} to {number_text(cell.high, cell.metric)}"


def lacking_text(cell: Cell) -> str:
    """Return what lacks, as in "73 of 75, 1 failed"; empty where nothing does."""
    if cell.complete:
        return ""
    failed = f", {cell.failed} failed" if cell.failed else ""
    return f"{cell.finished} of {cell.expected}{failed}"


def published_text(cell: Cell) -> str:
    """Return a cell's published figure and ours minus it; empty where there is none."""
    if cell.published is None:
        return ""
    return ", ".join(filter(None, (figure_text(cell.published), difference_text(cell))))


def figure_text(figure: Published) -> str:
    """Return a published figure and its SEM, where it has one."""
    return f"{figure.auroc:.1f}" + (f" ± {figure.sem:.1f}" if figure.sem is not None else "")


def difference_text(cell: Cell) -> str:
    """Return ours minus the published figure; empty where runs lack."""
    if pd.isna(cell.difference):
        return ""
    return f"{cell.difference:+z.1f}".replace("-", "\N{MINUS SIGN}")


def cell_text(cell: Cell) -> str:
    """Return all that a cell says, in one line."""
    if cell is None:
        return ""
    lacking, beside, ends = lacking_text(cell), published_text(cell), interval_text(cell)
    text = value_text(cell) + "".join(f" ({part})" for part in (ends, lacking) if part)
    return f"{text} [{beside}]" if beside else text


def has_published(table: Table) -> bool:
    """Tell whether any cell has a published figure beside it."""
    return any(cells["published"].notna().any() for cells in all_cells(table))


def metric_text(table: Table) -> str:
    """Return what a table's numbers are."""
    return ", ".join(map(metric_name, table.metrics))


def caption(table: Table, beside: str = "in brackets") -> str:
    """Return what a table shows and on how many runs it rests.

    Args:
        table: the table.
        beside: where the published figures stand.
    """
    repeated = " and ".join(["folds", *(f"{key}s" for key in table.layout.repeats)])
    how = f"{repeated} averaged"
    if "category" not in table.layout.axes or len(table.margin):
        categories = table.runs["category"].nunique()
        count = f"{categories} categories" if categories > 1 else "1 category"
        how = f"mean ± SEM over {count}, {repeated} averaged first"
    note = f"; {beside} the published figure and ours minus it" if has_published(table) else ""
    if any(map(interval_text, table.cells.itertuples(index=False))):
        note = f"; {INTERVAL}{note}"
    return f"{metric_text(table)}: {how}{note}. {table.count_text}.{_supervision(table)}"


def _supervision(table: Table) -> str:
    """Tell how many of a table's runs had labels, if any did."""
    if "detector" not in table.runs:
        return ""
    count = int(table.runs["detector"].astype(str).str.startswith(SUPERVISED).sum())
    return f" {count} supervised: fitted on labelled anomalous images, too." if count else ""


def rows_of(table: Table) -> Iterator[tuple[Label, list[Cell]]]:
    """Yield each row's label and cells, the mean over categories last."""
    for row in table.rows:
        yield row, [table.cell(row, column) for column in table.columns]
    if len(table.margin):
        yield (MEAN,), list(table.margin.itertuples(index=False))


def unfinished(table: Table) -> Iterator[tuple[str, dict[Hashable, Any]]]:
    """Yield the runs that the table lacks, each with what it is."""
    shown = [key for key in table.layout.axes if key not in ("category", "fold", *MEASURE)]
    lacking = table.runs[table.runs["status"] != Status.FINISHED]
    for run in lacking.to_dict("records"):
        parts = [run["category"], f"fold {run['fold']}", *(run[key] for key in shown)]
        yield ", ".join(part for part in parts if part), run


def to_markdown(table: Table) -> str:
    """Return a table in Markdown."""
    lines = [f"**{table.layout.title}**", "", caption(table), ""]
    lines += [markdown_row(head_of(table)), markdown_row(_alignment(table))]
    lines += [markdown_row(_texts(table, label, cells)) for label, cells in rows_of(table)]
    lacking = [f"- {name}: {run['status']}, {run['reason']}" for name, run in unfinished(table)]
    return "\n".join([*lines, *(["", "Not finished:", "", *lacking] if lacking else []), ""])


def to_latex(table: Table) -> str:
    """Return a table in LaTeX, for the package booktabs."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(table.layout.title)}. {_latex(caption(table))}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.layout.rows)}{'r' * len(table.columns)}}}",
        r"\toprule",
        _latex_row(head_of(table)),
        r"\midrule",
    ]
    for label, cells in rows_of(table):
        lines += [r"\midrule"] if label == (MEAN,) else []
        lines += [_latex_row(_texts(table, label, cells))]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def to_csv(table: Table) -> str:
    """Return a table as CSV, a line a cell."""
    cells = pd.concat(all_cells(table), ignore_index=True)
    figures = cells.pop("published")
    cells["published"] = [figure and figure.auroc for figure in figures]
    cells["published_sem"] = [figure and figure.sem for figure in figures]
    cells["published_in"] = [figure and f"{figure.source} {figure.table}" for figure in figures]
    labels = [
        [csv_text(value) for value in (*row, *column)]
        for row, column in zip(cells["row"], cells["column"], strict=True)
    ]
    lines = pd.DataFrame(labels, columns=list(table.layout.axes), index=cells.index)
    return pd.concat([lines, cells[list(CSV_COLUMNS)]], axis=1).to_csv(index=False)


def all_cells(table: Table) -> list[pd.DataFrame]:
    """Return the cells, and those of the mean over categories where there are any."""
    if table.margin.empty:
        return [table.cells]
    return [table.cells, table.margin.assign(row=pd.Series([(MEAN,)] * len(table.margin)))]


def csv_text(value: str) -> str:
    """Return a label as no spreadsheet takes it for a formula."""
    return f"'{value}" if FORMULA.fullmatch(value) else value


def label_parts(table: Table, label: Label) -> list[str]:
    """Return a row's values, metrics by their names in words."""
    if len(label) < len(table.layout.rows):
        return list(label)
    keys = zip(table.layout.rows, label, strict=True)
    return [metric_name(value) if key == "metric" else value for key, value in keys]


def _texts(table: Table, label: Label, cells: Sequence[Cell]) -> list[str]:
    """Return what stands in a row."""
    return [*label_parts(table, label), *map(cell_text, cells)]


def _alignment(table: Table) -> list[str]:
    return ["---"] * len(table.layout.rows) + ["---:"] * len(table.columns)


def markdown_row(values: Sequence[str]) -> str:
    """Return a line of a table in Markdown."""
    return "| " + " | ".join(value.replace("|", r"\|") for value in values) + " |"


def _latex_row(values: Sequence[str]) -> str:
    return " & ".join(map(_latex, values)) + r" \\"


def _latex(text: str) -> str:
    return text.translate(LATEX)
