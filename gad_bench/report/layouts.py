"""Which tables a report shows: one of those with a name, any two keys, or what the runs suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import yaml

from gad_bench.errors import UserError
from gad_bench.report.runs import Run
from gad_bench.report.tables import Layout

TABLES = Path(__file__).with_name("tables.yaml")
ALWAYS = ("backbone", "covariance")  # what names a setting where nothing varies
GROUPS = (
    *("dataset", "backbone", "blocks", "augmentation", "normalisation"),
    *("reduction", "covariance", "detector", "combination"),
)

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
            prefer=entry["prefer"],
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


def suggested(runs: Sequence[Run], where: Where) -> list[Layout]:
    """Return the tables that fit any runs: per category and per block, by all that varies."""
    axis = varying(runs)
    return [
        Layout(name=name, title=title, rows=(key,), columns=axis, where=where)
        for name, title, key in (
            ("categories", "Per category", "category"),
            ("blocks", "Per block", "block"),
        )
    ]


def own_table(runs: Sequence[Run]) -> str | None:
    """Return the name of the table that all runs were made for, None where there is none."""
    experiments = {run.keys.get("experiment", "") for run in runs}
    return next(iter(experiments & set(named_layouts())), None) if len(experiments) == 1 else None


def varying(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the fewest keys that tell the runs' settings apart; groups' choices come first."""
    settings = list({run.setting: run.keys for run in runs}.values())
    chosen: tuple[str, ...] = ()
    for key in _candidates(runs):
        if _distinct(settings, (*chosen, key)) > _distinct(settings, chosen):
            chosen = (*chosen, key)
    return chosen or ALWAYS


def _distinct(settings: Sequence[Mapping[str, str]], keys: tuple[str, ...]) -> int:
    return len({tuple(setting.get(key, "") for key in keys) for setting in settings})


def _candidates(runs: Sequence[Run]) -> list[str]:
    """Return the keys of all settings: the groups in order, then others, outer ones first."""
    keys = dict.fromkeys(key for run in runs for key in run.keys)
    fixed = {key for run in runs for key, _ in run.setting}
    rank = {group: position for position, group in enumerate(GROUPS)}
    others = sorted((key for key in keys if key in fixed), key=lambda key: key.count("."))
    return sorted(others, key=lambda key: rank.get(key, len(rank)))
