"""By which keys the runs' settings differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gad_bench.report.runs import Run

GROUPS = (
    *("dataset", "backbone", "blocks", "augmentation", "normalisation"),
    *("reduction", "covariance", "detector", "combination"),
)


def varying(runs: Sequence[Run], told_by: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the fewest keys that tell the runs' settings apart; groups' choices come first.

    Args:
        runs: the runs.
        told_by: keys that tell some of them apart already.
    """
    settings = list({run.setting: run.keys for run in runs}.values())
    chosen = told_by
    for key in _candidates(runs):
        if _distinct(settings, (*chosen, key)) > _distinct(settings, chosen):
            chosen = (*chosen, key)
    return chosen[len(told_by) :]


def _distinct(settings: Sequence[Mapping[str, str]], keys: tuple[str, ...]) -> int:
    return len({tuple(setting.get(key, "") for key in keys) for setting in settings})


def _candidates(runs: Sequence[Run]) -> list[str]:
    """Return the keys of all settings: the groups in order, then others, outer ones first."""
    keys = dict.fromkeys(key for run in runs for key in run.keys)
    of_settings = {key for run in runs for key, _ in run.setting}
    rank = {group: position for position, group in enumerate(GROUPS)}
    outer_first = sorted(
        (key for key in keys if key in of_settings), key=lambda key: key.count(".")
    )
    return sorted(outer_first, key=lambda key: rank.get(key, len(rank)))
