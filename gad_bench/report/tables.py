"""Tables over many runs: folds averaged in a category first, then over categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import chain

from gad_bench.base.errors import UserError
from gad_bench.report.cells import Cell, Entry, Label
from gad_bench.report.measures import ALL, HIGHER_IS_BETTER, Measure, factor, measure
from gad_bench.report.runs import Run, Status, same_value
from gad_bench.report.settings import varying

SETTINGS = "settings"  # the axis of all keys by which runs differ
DEFAULTS = Measure("auroc", "", ALL)


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
        prefer: the same, but only where the runs vary in such a key.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    prefer: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def axes(self) -> tuple[str, ...]:
        """The keys of rows and columns."""
        return self.rows + self.columns


@dataclass(frozen=True, kw_only=True)
class Table:
    """A layout filled with runs.

    Attributes:
        layout: what it shows.
        runs: the runs that it covers, one a job, unfinished ones among them.
        rows: the rows' labels in order.
        columns: the columns' labels in order.
        cells: by row and column; combinations that don't exist are absent.
    """

    layout: Layout
    runs: Sequence[Run]
    rows: Sequence[Label]
    columns: Sequence[Label]
    cells: Mapping[tuple[Label, Label], Cell]

    @property
    def counts(self) -> Counter[Status]:
        """How many of its runs came how far."""
        return Counter(run.status for run in self.runs)

    @property
    def higher_is_better(self) -> bool:
        """Whether the greatest number is the best."""
        cells = self.cells.values()
        measures = (entry.measure for cell in cells for entry in cell.entries)
        return all(found.metric.startswith(HIGHER_IS_BETTER) for found in measures)

    @property
    def count_text(self) -> str:
        """The runs behind the table, as in "73 of 75 runs (1 failed, 1 missing)"."""
        counts = self.counts
        text = f"{counts[Status.FINISHED]} of {len(self.runs)} runs"
        lacking = [f"{counts[s]} {s}" for s in (Status.FAILED, Status.MISSING) if counts[s]]
        return f"{text} ({', '.join(lacking)})" if lacking else text


def fill(layout: Layout, runs: Iterable[Run]) -> Table:
    """Fill a layout with runs, one a job.

    Raises:
        UserError: no run has the values asked for, a key is unknown, or runs that differ in
            another key than the layout's would be averaged.
    """
    chosen = select(runs, layout)
    layout = _spelled_out(layout, chosen)
    entries: dict[tuple[Label, Label], list[Entry]] = {}
    for run, found, value in _measured(chosen, layout):
        place = _label(run, found, layout.rows), _label(run, found, layout.columns)
        entries.setdefault(place, []).append(Entry(run, found, value))
    if not entries:
        raise _nothing_to_show(layout, chosen)
    for place, cell_entries in entries.items():
        _refuse_mixture(cell_entries, place, layout)
    return Table(
        layout=layout,
        runs=chosen,
        rows=_in_order(row for row, _ in entries),
        columns=_in_order(column for _, column in entries),
        cells={place: Cell(cell_entries) for place, cell_entries in entries.items()},
    )


def select(runs: Iterable[Run], layout: Layout) -> list[Run]:
    """Return the runs that a layout is about.

    Raises:
        UserError: there is none, or a key is unknown.
    """
    chosen = list(runs)
    _require_keys(chosen, layout)
    for key, values in layout.where.items():
        if key not in Measure._fields:
            chosen = _having(chosen, key, values) or _refuse_choice(chosen, key, values)
    for key, values in layout.prefer.items():
        if key not in (*Measure._fields, *layout.axes, *layout.where):
            chosen = _having(chosen, key, values) or chosen
    return chosen


def _spelled_out(layout: Layout, runs: Sequence[Run]) -> Layout:
    """Put the keys by which the runs differ in the place of "settings"."""
    named = tuple(key for key in layout.axes if key != SETTINGS)
    found = varying(runs, named) if SETTINGS in layout.axes else ()

    def spell_out(axis: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(chain.from_iterable(found if key == SETTINGS else (key,) for key in axis))

    return replace(layout, rows=spell_out(layout.rows), columns=spell_out(layout.columns))


def margin(table: Table) -> list[tuple[Label, Cell]]:
    """Return each column's cell over all rows: the mean over categories, where these are rows."""
    if table.layout.rows != ("category",):
        return []
    below: dict[Label, list[Entry]] = {column: [] for column in table.columns}
    for (_, column), cell in table.cells.items():
        below[column] += cell.entries
    return [(column, Cell(entries)) for column, entries in below.items()]


def _measured(runs: Sequence[Run], layout: Layout) -> Iterator[tuple[Run, Measure, float | None]]:
    """Yield each run with each of its numbers that the table shows.

    A run that isn't finished stands with None wherever its setting's other runs have a number, or
    where any run has, if all of its setting lack.
    """
    numbers = {id(run): dict(_numbers(run, layout)) for run in runs}
    of_setting: dict[object, set[Measure]] = {}
    for run in runs:
        of_setting.setdefault(run.setting, set()).update(numbers[id(run)])
    anywhere = set(chain.from_iterable(numbers.values()))
    for run in runs:
        for found in sorted(of_setting[run.setting] or anywhere):
            yield run, found, numbers[id(run)].get(found)


def _numbers(run: Run, layout: Layout) -> Iterator[tuple[Measure, float]]:
    for name, value in run.metrics.items():
        found = measure(name)
        wanted = [_wants(layout, key, one) for key, one in found._asdict().items()]
        if all(wanted):
            yield found, value * factor(found.metric)


def _wants(layout: Layout, key: str, value: str) -> bool:
    """Tell whether a layout asks for a measure's value: by name, by an axis, or by default."""
    if key in layout.where:
        return value in layout.where[key]
    default = getattr(DEFAULTS, key)
    rates = key == "sigma" and "sigma" in layout.axes
    return bool(value) if rates else key in layout.axes or value == default


def _label(run: Run, found: Measure, keys: tuple[str, ...]) -> Label:
    own = found._asdict()
    return tuple(own[key] if key in own else run.keys.get(key, "") for key in keys)


def _in_order(labels: Iterable[Label]) -> list[Label]:
    """Order labels by number where all are numbers, else as they came first."""
    distinct = list(dict.fromkeys(labels))
    ranks = [_ranks(list(dict.fromkeys(position))) for position in zip(*distinct, strict=True)]
    return sorted(
        distinct, key=lambda label: [rank[v] for rank, v in zip(ranks, label, strict=True)]
    )


def _ranks(values: list[str]) -> dict[str, float]:
    ends = {ALL: float("inf"), "": float("-inf")}
    try:
        return {value: ends[value] if value in ends else float(value) for value in values}
    except ValueError:
        return {value: float(number) for number, value in enumerate(values)}


def _having(runs: Sequence[Run], key: str, values: Sequence[str]) -> list[Run]:
    return [
        run for run in runs if any(same_value(run.keys.get(key, ""), value) for value in values)
    ]


def _require_keys(runs: Sequence[Run], layout: Layout) -> None:
    known = {SETTINGS, *Measure._fields, *chain.from_iterable(run.keys for run in runs)}
    for key in (*layout.axes, *layout.where):
        if key not in known:
            near = get_close_matches(key, known) or sorted(
                name for name in known if "." not in name
            )
            raise UserError(f"no run has a key {key!r}: choose for example {', '.join(near)}")


def _refuse_choice(runs: Sequence[Run], key: str, values: Sequence[str]) -> list[Run]:
    there = ", ".join(sorted({run.keys.get(key, "") for run in runs}))
    raise UserError(f"no run has {key}={','.join(values)}: there are {there}")


def _refuse_mixture(entries: Sequence[Entry], place: tuple[Label, Label], layout: Layout) -> None:
    """Refuse to average numbers that differ in more than category and fold."""
    settings = {entry.run.setting for entry in entries}
    measures = [set(values) for values in zip(*(entry.measure for entry in entries), strict=True)]
    differing = {key for key, _ in frozenset.union(*settings) - frozenset.intersection(*settings)}
    differing |= {
        key for key, values in zip(Measure._fields, measures, strict=True) if len(values) > 1
    }
    if not differing:
        return
    first = sorted(differing, key=lambda key: key.count("."))[0]
    value = _label(entries[0].run, entries[0].measure, (first,))[0]
    raise UserError(
        f"table {layout.name}: the cell {' '.join(chain(*place))} would mix runs that differ in "
        f"{', '.join(sorted(differing))}: choose some by --where {first}={value}, "
        "or name the key in --rows or --columns"
    )


def _nothing_to_show(layout: Layout, runs: Sequence[Run]) -> UserError:
    if not any(run.status is Status.FINISHED for run in runs):
        return UserError(f"none of {len(runs)} runs finished; the first: {runs[0].reason}")
    asked = {key: [value] for key, value in DEFAULTS._asdict().items()} | dict(layout.where)
    wanted = ", ".join(
        f"{key}={','.join(asked[key])}" for key in Measure._fields if any(asked[key])
    )
    return UserError(f"table {layout.name}: no finished run has a metric of {wanted}")
