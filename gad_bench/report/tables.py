"""Tables over many runs: folds averaged in a category first, then over categories."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from gad_bench.base.choices import near
from gad_bench.base.errors import UserError
from gad_bench.report.frame import (
    ALL,
    COMPUTATION,
    MEASURE,
    Measure,
    Status,
    factor,
    higher_is_better,
    is_of_setting,
    keys_of,
    one_row_each,
    same_value,
    varying,
)
from gad_bench.report.published import published

SETTINGS = "settings"  # the axis of all keys by which runs differ
DEFAULTS = Measure("auroc", "", ALL)
ENDS = {"low": "_ci_low", "high": "_ci_high"}  # of a metric's 95 % interval

Label = tuple[str, ...]
Cell = Any  # a row of `Table.cells`, None where rows and columns don't meet


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a table shows.

    Attributes:
        name: of its files.
        title: its heading.
        rows: the keys whose values make the rows: of the config, or of `Measure`; "settings" stands
            for all keys by which the runs differ and which the table doesn't name.
        columns: the same for the columns.
        where: keys and the values that take part; all others are left out.
        prefer: the same, but only where any run has one of the values.
        order: keys and the values that stand in this order, in place of the usual one.
        ranked: whether the rows are sorted by the first metric, the best first.
        repeats: keys whose values only repeat a setting: they are averaged, as folds are.
        paper: which of the paper's tables it is.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    prefer: Mapping[str, Sequence[str]] = field(default_factory=dict)
    order: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ranked: bool = False
    repeats: tuple[str, ...] = ()
    paper: tuple[str, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """The keys of rows and columns."""
        return self.rows + self.columns


@dataclass(frozen=True, kw_only=True)
class Table:
    """A layout filled with runs.

    Attributes:
        layout: what it shows.
        frame: the runs that it covers, one a job, unfinished ones among them.
        entries: a row a run and measure that it shows; its `row` and `column` are the labels'
            positions; `value`, `low` and `high` (of the interval) are NaN where the run has none.
        rows: the rows' labels in order.
        columns: the columns' labels in order.
    """

    layout: Layout
    frame: pd.DataFrame
    entries: pd.DataFrame
    rows: Sequence[Label]
    columns: Sequence[Label]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell: its labels, mean, SEM, counts, interval and published figure."""
        cells = _cells(self.entries, ["row", "column"])
        cells["row"] = pd.Series([self.rows[place] for place in cells["row"]], dtype=object)
        return self._with_columns(cells)

    @cached_property
    def margin(self) -> pd.DataFrame:
        """A row a column: its cell over all rows, where these are categories; else none."""
        if self.layout.rows != ("category",):
            return pd.DataFrame()
        return self._with_columns(_cells(self.entries, ["column"]).sort_values("column"))

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row of each run."""
        return one_row_each(self.frame)

    @cached_property
    def runs_by_row(self) -> dict[Label, pd.DataFrame]:
        """The runs that each row shows, one row a run."""
        runs = self.entries.drop_duplicates(["row", "run"]).groupby("row")
        return {label: runs.get_group(place) for place, label in enumerate(self.rows)}

    @property
    def higher_is_better(self) -> bool:
        """Whether the greatest number is the best."""
        return all(map(higher_is_better, self.metrics))

    @property
    def metrics(self) -> list[str]:
        """The metrics that it shows."""
        return list(self.entries["metric"].unique())

    @property
    def count_text(self) -> str:
        """The runs behind the table, as in "73 of 75 runs (1 failed, 1 missing)"."""
        counts = self.runs["status"].value_counts()
        text = f"{counts.get(Status.FINISHED, 0)} of {len(self.runs)} runs"
        lacking = [f"{counts[s]} {s}" for s in (Status.FAILED, Status.MISSING) if s in counts]
        return f"{text} ({', '.join(lacking)})" if lacking else text

    def cell(self, row: Label, column: Label) -> Cell:
        """Return a cell, None where the combination doesn't exist."""
        return self._places.get((row, column))

    def folds(self, row: Label, column: Label) -> pd.Series[float]:
        """Return the numbers of a cell, one a run that has one."""
        entries = self.entries[["row", "column", "value"]].dropna()
        place = self.rows.index(row), self.columns.index(column)
        return entries["value"][(entries["row"] == place[0]) & (entries["column"] == place[1])]

    @cached_property
    def _places(self) -> dict[tuple[Label, Label], Cell]:
        labels = zip(self.cells["row"], self.cells["column"], strict=True)
        return dict(zip(labels, self.cells.itertuples(index=False), strict=True))

    def _with_columns(self, cells: pd.DataFrame) -> pd.DataFrame:
        labels = [self.columns[place] for place in cells["column"]]
        return cells.assign(column=pd.Series(labels, index=cells.index, dtype=object))


def fill(layout: Layout, frame: pd.DataFrame) -> Table:
    """Fill a layout with runs, one a job.

    Raises:
        UserError: no run has the values asked for, a key is unknown, or runs that differ in
            another key than the layout's would be averaged.
    """
    chosen = _repeated(select(frame, layout), layout.repeats)
    layout = _spelled_out(layout, chosen)
    shown = _shown(chosen, layout)
    if shown.empty:
        raise _nothing_to_show(layout, chosen)
    entries = _entries(chosen, shown)
    _refuse_mixture(entries, layout)
    layout = _all_named(layout, entries)
    row_labels, column_labels = _labels(entries, layout.rows), _labels(entries, layout.columns)
    rows, columns = (
        _in_order(labels, [layout.order.get(key, ()) for key in keys])
        for labels, keys in ((row_labels, layout.rows), (column_labels, layout.columns))
    )
    entries = entries.assign(
        row=[rows.index(label) for label in row_labels],
        column=[columns.index(label) for label in column_labels],
    )
    table = Table(layout=layout, frame=chosen, entries=entries, rows=rows, columns=columns)
    return _ranked(table) if layout.ranked else table


def measured(
    entries: pd.DataFrame, by: list[str]
) -> list[tuple[dict[str, str], Measure, frozenset[str]]]:
    """Return the keys, the measure and the categories of each cell, as they come first."""
    names = keys_of(entries)
    firsts = entries.drop_duplicates(by).to_dict("records")
    categories = entries.groupby(by, sort=False)["category"].agg(frozenset)
    return [
        ({key: str(first[key]) for key in names}, Measure(*(first[key] for key in MEASURE)), own)
        for first, own in zip(firsts, categories, strict=True)
    ]


def select(frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Return the runs that a layout is about.

    Raises:
        UserError: there is none, or a key is unknown.
    """
    _require_keys(frame, layout)
    for key, values in layout.where.items():
        if key not in MEASURE:
            chosen = _having(frame, key, values)
            if chosen.empty:
                there = ", ".join(sorted(frame[key].unique()))
                raise UserError(f"no run has {key}={','.join(values)}: there are {there}")
            frame = chosen
    for key, values in layout.prefer.items():
        if key in frame and key not in (*MEASURE, *layout.axes, *layout.where):
            chosen = _having(frame, key, values)
            frame = frame if chosen.empty else chosen
    return frame


def _repeated(frame: pd.DataFrame, repeats: Sequence[str]) -> pd.DataFrame:
    """Number the settings anew, those as one that differ in such keys alone."""
    repeats = [key for key in repeats if key in frame]
    if not repeats:
        return frame
    settings = frame.drop_duplicates("setting").set_index("setting")
    keys = [key for key in filter(is_of_setting, keys_of(frame)) if key not in repeats]
    numbers = settings.groupby(keys, sort=False, observed=True).ngroup()
    return frame.assign(setting=frame["setting"].map(numbers))


def _ranked(table: Table) -> Table:
    """Sort the rows by the mean of the first metric, the best first."""
    metric = table.layout.where["metric"][0]
    cells = table.cells[table.cells["metric"] == metric]
    best_first = cells.sort_values("mean", ascending=not higher_is_better(metric))
    rows: list[Label] = list(dict.fromkeys([*best_first["row"], *table.rows]))
    places = [rows.index(label) for label in table.rows]
    entries = table.entries.assign(row=[places[place] for place in table.entries["row"]])
    return replace(table, rows=rows, entries=entries.sort_values("row", kind="stable"))


def _spelled_out(layout: Layout, frame: pd.DataFrame) -> Layout:
    """Put the keys by which the runs differ in the place of "settings"."""
    named = [*layout.repeats, *(key for key in layout.axes if key not in (SETTINGS, *MEASURE))]
    keys = varying(frame, named) if SETTINGS in layout.axes else ()

    def spell_out(axis: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(chain.from_iterable(keys if key == SETTINGS else (key,) for key in axis))

    return replace(layout, rows=spell_out(layout.rows), columns=spell_out(layout.columns))


def _all_named(layout: Layout, entries: pd.DataFrame) -> Layout:
    """Add the keys by which settings differ beside those that the layout names.

    They belong to the rows where these tell settings apart and fix the key, else to the columns.
    """
    rows = list(layout.rows) if any(map(is_of_setting, layout.rows)) else []
    for key in varying(entries, (*layout.axes, *layout.repeats)):
        fixed = rows and entries.groupby(rows, observed=True)[key].nunique().max() == 1
        if fixed:
            layout = replace(layout, rows=(*layout.rows, key))
        else:
            layout = replace(layout, columns=(*layout.columns, key))
    return layout


def _shown(frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Return the rows whose numbers a table shows."""
    shown = frame[frame["metric"] != ""]
    for key in MEASURE:
        wanted = [value for value in shown[key].unique() if _wants(layout, key, value)]
        preferred = [value for value in wanted if value in layout.prefer.get(key, ())]
        shown = shown[shown[key].isin(preferred or wanted)]
    cached = (shown["metric"] == "seconds_extract") & (shown["value"] == 0)  # not measured
    return shown[~cached] if layout.ranked else shown


def _entries(frame: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each run and each of the measures that are shown.

    A run that isn't finished stands with NaN wherever its setting's other runs have a number, or
    where any run has, if all of its setting lack.
    """
    measures = shown[["setting", *MEASURE]].drop_duplicates()
    lacking = frame.loc[~frame["setting"].isin(measures["setting"]), ["setting"]].drop_duplicates()
    anywhere = measures[list(MEASURE)].drop_duplicates()
    measures = pd.concat([measures, lacking.merge(anywhere, how="cross")])
    values = shown["value"] * shown["metric"].map(factor)
    return (
        one_row_each(frame)
        .drop(columns=[*MEASURE, "value"])
        .merge(measures.sort_values(list(MEASURE), kind="stable"), on="setting")
        .merge(shown[["run", *MEASURE]].assign(value=values), on=["run", *MEASURE], how="left")
        .pipe(_with_intervals, frame)
    )


def _with_intervals(entries: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Add the ends of each number's interval, NaN where its run has none."""
    for end, suffix in ENDS.items():
        own = frame.loc[frame["metric"].str.endswith(suffix), ["run", *MEASURE, "value"]]
        metric = own["metric"].str.removesuffix(suffix)
        values = own["value"] * metric.map(factor).astype(float)
        own = own.drop(columns="value").assign(**{"metric": metric, end: values})
        entries = entries.merge(own, on=["run", *MEASURE], how="left")
    return entries


def _wants(layout: Layout, key: str, value: str) -> bool:
    """Tell whether a layout asks for a measure's value: by name, by an axis, or by default."""
    if key in layout.where:
        return value in layout.where[key]
    rates = key == "sigma" and "sigma" in layout.axes
    return bool(value) if rates else key in layout.axes or value == getattr(DEFAULTS, key)


def _cells(entries: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return a row a cell, in the order in which they come first."""
    grouped = entries.groupby(by, sort=False)
    there = entries.dropna(subset="value")
    folds = there.groupby([*by, "category"], sort=False, observed=True)["value"].agg(fmean)
    means = folds.groupby(by, sort=False).agg(mean=fmean, sem=_sem, categories="size")
    status = entries["status"].mask(
        entries["value"].isna() & (entries["status"] == Status.FINISHED), Status.MISSING
    )
    counts = pd.DataFrame({str(s): status == s for s in Status}).groupby(
        [entries[key] for key in by], sort=False
    )
    figures: list[Any] = [published(*cell) for cell in measured(entries, by)]
    cells = counts.sum().assign(
        expected=grouped.size(),
        metric=grouped["metric"].first(),
        low=grouped["low"].agg(_mean_of_present),
        high=grouped["high"].agg(_mean_of_present),
        published=figures,
    )
    cells = cells.join(means).fillna({"categories": 0}).astype({"categories": int})
    cells["complete"] = cells["finished"] == cells["expected"]
    if COMPUTATION in entries:
        cells[COMPUTATION] = grouped[COMPUTATION].first().astype(str)
    auroc = [getattr(figure, "auroc", math.nan) for figure in cells["published"]]
    cells["difference"] = (cells["mean"] - auroc).where(cells["complete"])
    return cells.reset_index()


def _mean_of_present(values: pd.Series[float]) -> float:
    present = values.dropna()
    return fmean(present) if len(present) else math.nan


def _sem(means: pd.Series[float]) -> float:
    return stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.nan


def _labels(entries: pd.DataFrame, keys: tuple[str, ...]) -> list[Label]:
    return list(zip(*(entries[key] for key in keys), strict=True)) if keys else [()] * len(entries)


def _in_order(labels: Iterable[Label], listed: Sequence[Sequence[str]]) -> list[Label]:
    """Order labels as listed, by number where all are numbers, else as they came first."""
    distinct = list(dict.fromkeys(labels))
    positions = zip(zip(*distinct, strict=True), listed, strict=True)
    ranks = [_ranks(list(dict.fromkeys(values)), own) for values, own in positions if distinct]
    return sorted(
        distinct, key=lambda label: [rank[v] for rank, v in zip(ranks, label, strict=True)]
    )


def _ranks(values: list[str], listed: Sequence[str]) -> dict[str, float]:
    if set(values) <= set(listed):
        return {value: float(listed.index(value)) for value in values}
    ends = {ALL: math.inf, "": -math.inf}
    try:
        return {value: ends[value] if value in ends else float(value) for value in values}
    except ValueError:
        return {value: float(number) for number, value in enumerate(values)}


def _having(frame: pd.DataFrame, key: str, values: Sequence[str]) -> pd.DataFrame:
    alike = [
        there for there in frame[key].unique() if any(same_value(there, value) for value in values)
    ]
    return frame[frame[key].isin(alike)]


def _require_keys(frame: pd.DataFrame, layout: Layout) -> None:
    known = {SETTINGS, *MEASURE, *keys_of(frame)}
    for key in (*layout.axes, *layout.where):
        if key not in known:
            named = near(key, sorted(known)) or sorted(name for name in known if "." not in name)
            raise UserError(f"no run has a key {key!r}: choose for example {', '.join(named)}")


def _refuse_mixture(entries: pd.DataFrame, layout: Layout) -> None:
    """Refuse to average numbers that differ in more than category and fold."""
    cells = entries.groupby(list(dict.fromkeys(layout.axes)), sort=False, observed=True)
    mixed = cells[["setting", *MEASURE]].nunique().gt(1).any(axis=1)
    if not mixed.any():
        return
    cell = cells.get_group(mixed.idxmax())
    keys = [*filter(is_of_setting, keys_of(entries)), *MEASURE]
    differing = sorted(key for key in keys if cell[key].nunique() > 1)
    first = min(differing, key=lambda key: key.count("."))
    place = [cell[key].iloc[0] for key in layout.axes]
    raise UserError(
        f"table {layout.name}: the cell {' '.join(place)} would mix runs that differ in "
        f"{', '.join(differing)}: choose some by --where {first}={cell[first].iloc[0]}, "
        "or name the key in --rows or --columns"
    )


def _nothing_to_show(layout: Layout, frame: pd.DataFrame) -> UserError:
    runs = one_row_each(frame)
    if not (runs["status"] == Status.FINISHED).any():
        return UserError(f"none of {len(runs)} runs finished; the first: {runs['reason'].iloc[0]}")
    asked = {key: [value] for key, value in DEFAULTS._asdict().items()} | dict(layout.where)
    wanted = ", ".join(f"{key}={','.join(asked[key])}" for key in MEASURE if any(asked[key]))
    return UserError(f"table {layout.name}: no finished run has a metric of {wanted}")
