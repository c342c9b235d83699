"""Tables as text: what a cell says, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from gad_bench.report.cells import Cell, Label
from gad_bench.report.measures import factor
from gad_bench.report.published import Published, difference, published
from gad_bench.report.runs import Run, Status
from gad_bench.report.tables import Table, margin

NAMES = {
    "auroc": "AUROC in %",
    "aupr": "average precision in %",
    "fpr": "false positive rate in %",
    "tpr": "true positive rate in %",
}
MEAN = "all categories"  # the last row of a table of categories
NUMBER = re.compile(r"[\d.]+")
LATEX_SPECIAL = re.compile(r"([&%$#_{}])")
CSV_COLUMNS = (
    *("mean", "sem", "categories", "finished", "failed", "missing", "expected"),
    *("published", "published_sem", "difference", "published_in"),
)


def label_text(label: Label) -> str:
    """Return a label's values beside each other."""
    return " ".join(value for value in label if value)


def column_text(table: Table, column: Label) -> str:
    """Return a column's name: a number alone is named by its key."""
    if len(column) == 1 and NUMBER.fullmatch(column[0]):
        return f"{table.layout.columns[0].rpartition('.')[2]} {column[0]}"
    return label_text(column) or metric_text(table)


def head_of(table: Table) -> list[str]:
    """Return the first line: the keys of the rows, then the columns' names."""
    return [*table.layout.rows, *(column_text(table, column) for column in table.columns)]


def number_text(value: float, metric: str) -> str:
    """Return a number as it is printed: percent with one decimal, others with three digits."""
    return f"{value:.1f}" if factor(metric) != 1 else f"{value:.3g}"


def value_text(cell: Cell) -> str:
    """Return a cell's mean and SEM, or why it has none."""
    metric = cell.entries[0].measure.metric
    if cell.mean is None:
        return str(Status.FAILED if cell.counts[Status.FAILED] else Status.MISSING)
    mean = number_text(cell.mean, metric)
    return mean if cell.sem is None else f"{mean} ± {number_text(cell.sem, metric)}"


def published_text(cell: Cell, figure: Published) -> str:
    """Return a published figure and ours minus it."""
    text = f"{figure.auroc:.1f}" + (f" ± {figure.sem:.1f}" if figure.sem is not None else "")
    ours = difference(cell, figure)
    return text if ours is None else f"{text}, {ours:+z.1f}".replace("-", "\N{MINUS SIGN}")


def cell_text(cell: Cell | None) -> str:
    """Return all that a cell says, in one line."""
    if cell is None:
        return ""
    text = value_text(cell) + (f" ({cell.lacking})" if cell.lacking else "")
    figure = published(cell)
    return f"{text} [{published_text(cell, figure)}]" if figure else text


def has_published(table: Table) -> bool:
    """Tell whether any cell has a published figure beside it."""
    return any(published(cell) for cell in (*table.cells.values(), *dict(margin(table)).values()))


def metric_text(table: Table) -> str:
    """Return what a table's numbers are."""
    cells = table.cells.values()
    metrics = dict.fromkeys(entry.measure.metric for cell in cells for entry in cell.entries)
    return ", ".join(NAMES.get(metric, metric) for metric in metrics)


def caption(table: Table, beside: str = "in brackets") -> str:
    """Return what a table shows and on how many runs it rests.

    Args:
        table: the table.
        beside: where the published figures stand.
    """
    categories = {run.keys["category"] for run in table.runs}
    how = "folds averaged"
    if "category" not in table.layout.axes or margin(table):
        count = f"{len(categories)} categories" if len(categories) > 1 else "1 category"
        how = f"mean ± SEM over {count}, folds averaged first"
    note = f"; {beside} the published figure and ours minus it" if has_published(table) else ""
    return f"{metric_text(table)}: {how}{note}. {table.count_text}."


def rows_of(table: Table) -> Iterator[tuple[Label, list[Cell | None]]]:
    """Yield each row's label and cells, the mean over categories last."""
    for row in table.rows:
        yield row, [table.cells.get((row, column)) for column in table.columns]
    if below := margin(table):
        yield (MEAN,), [cell for _, cell in below]


def unfinished(table: Table) -> Iterator[tuple[str, Run]]:
    """Yield the runs that the table lacks, each with what it is."""
    keys = [key for key in table.layout.axes if any(key in run.keys for run in table.runs)]
    for run in table.runs:
        if run.status is not Status.FINISHED:
            own = [run.keys.get(key, "") for key in keys if key not in ("category", "fold")]
            named = [run.keys["category"], f"fold {run.keys['fold']}", *own]
            yield ", ".join(value for value in named if value), run


def to_markdown(table: Table) -> str:
    """Return a table in Markdown."""
    lines = [f"**{table.layout.title}**", "", caption(table), ""]
    lines += [_markdown_row(head_of(table)), _markdown_row(_alignment(table))]
    lines += [_markdown_row([*label, *map(cell_text, cells)]) for label, cells in rows_of(table)]
    lacking = [f"- {name}: {run.status}, {run.reason}" for name, run in unfinished(table)]
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
        lines += [_latex_row([*label, *map(cell_text, cells)])]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def to_csv(table: Table) -> str:
    """Return a table as CSV, a line a cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.layout.axes, *CSV_COLUMNS])
    for (row, column), cell in table.cells.items():
        writer.writerow([*row, *column, *_csv_values(cell)])
    for column, cell in margin(table):
        writer.writerow([MEAN, *column, *_csv_values(cell)])
    return text.getvalue()


def _csv_values(cell: Cell) -> list[object]:
    figure = published(cell)
    counts = [cell.counts[status] for status in Status]
    values = [cell.mean, cell.sem, len(cell.categories), *counts, cell.expected]
    beside = (
        [figure.auroc, figure.sem, difference(cell, figure), f"{figure.source} {figure.table}"]
        if figure
        else [None] * 4
    )
    return ["" if value is None else value for value in (*values, *beside)]


def _alignment(table: Table) -> list[str]:
    return ["---"] * len(table.layout.rows) + ["---:"] * len(table.columns)


def _markdown_row(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", r"\|") for value in values) + " |"


def _latex_row(values: Sequence[str]) -> str:
    return " & ".join(map(_latex, values)) + r" \\"


def _latex(text: str) -> str:
    escaped = LATEX_SPECIAL.sub(r"\\\1", text)
    return escaped.replace("±", r"$\pm$").replace("\N{MINUS SIGN}", "$-$")
