"""Runs as one long DataFrame: a row a run and measure, the run's keys beside each number.

Its columns are the runs' keys (as categories, "" where a run lacks one), `RUN` and `MEASURE`; a run
without numbers has one row, whose measure is "" and whose value is NaN.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import pandas as pd
import yaml

from gad_bench.base.process import config_folder
from gad_bench.base.run_folder import COST_DEVICE
from gad_bench.config import leaves

Setting = frozenset[tuple[str, str]]

MEASURE = ("metric", "sigma", "block")
RUN = ("run", "job", "setting", "status", "reason", "place", "ended")  # the first three: numbers
NUMBERS = ("value", "low", "high")
PLACE = ("row", "column")  # of a table
METRIC_NAME = re.compile(r"(?P<metric>.+?)(?:_sigma_(?P<sigma>\d+))?(?:_block_(?P<block>\d+))?")
ALL = "all"  # the blocks combined, or the images that are fitted
SHOTS = "shots"
HIGHER_IS_BETTER = (
    *("auroc", "aupr", "aupimo", "spro", "tpr", "image_f1", "seg_f1", "pixel_"),
    *("attribution_aupr", "attribution_pixel_", "attribution_inside"),
)
SHARES = (*HIGHER_IS_BETTER, "fpr")  # quantities in [0, 1], printed in percent
THRESHOLD = "_threshold"  # ends the name of one, as that of image_f1

# Keys that leave a run's numbers as they are, with all keys below them.
WITHOUT_EFFECT = (
    *("cache_dir", "keep_images", "device", "batch_size", "figures", "resume", "cost", COST_DEVICE),
    *("tracking", "experiment", "variant", "hydra", "save", "explanation", "embedding"),
    "extraction",
    "objective",
)
COMPUTATION = "computation"  # the group whose values many others refer to
FOLDS = "folds"  # the choice of the group "fold", under whose own name stands the fold's number
OF_THE_CATEGORY = ("category", "dataset.categories")
OF_THE_FOLD = ("fold", "fold.index")
OF_THE_RUN = ("category", "fold")
GROUPS = (
    *("dataset", "backbone", "input", "blocks", "augmentation", "normalisation"),
    *("reduction", "covariance", "detector", "combination", COMPUTATION),
)


class Status(StrEnum):
    """How far a run came."""

    FINISHED = "finished"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as it is read, or the place of one that was asked for.

    Attributes:
        keys: the config, flattened to dotted keys, and each group's choice under the group's name;
            `fold` is the fold's number, or "full", and `folds` the choice.
        status: how far it came.
        metrics: by name, of a finished run.
        ended: when, in seconds since the epoch.
        place: the folder of its files, or its id in MLflow.
        reason: why it isn't finished.
    """

    keys: Mapping[str, str]
    status: Status
    metrics: Mapping[str, float] = field(default_factory=dict)
    ended: float = 0.0
    place: str = ""
    reason: str = ""

    @property
    def job(self) -> Setting:
        """What determines the run's numbers."""
        return frozenset(pair for pair in self.keys.items() if not _below(pair[0], WITHOUT_EFFECT))

    @property
    def setting(self) -> Setting:
        """What determines its numbers, but for category and fold."""
        return frozenset(pair for pair in self.job if is_of_setting(pair[0]))


class Measure(NamedTuple):
    """A metric's name, taken apart."""

    metric: str
    sigma: str  # "" where the metric has none
    block: str  # a number, or "all"


def long_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Return runs as the long DataFrame; `job` and `setting` number what is alike from 0."""
    listed = list(runs)
    table = pd.DataFrame([dict(run.keys) for run in listed]).fillna("")
    table = table.replace({SHOTS: {"None": ALL}}).astype("category")
    facts = [(run.status, run.reason, run.place, run.ended) for run in listed]
    table[list(RUN[3:])] = pd.DataFrame(facts, columns=list(RUN[3:]))
    numbered = {"run": range(len(listed)), "job": _numbers(run.job for run in listed)}
    table = table.assign(**numbered, setting=_numbers(run.setting for run in listed))
    values = [
        (number, *measure(name), value)
        for number, run in enumerate(listed)
        for name, value in run.metrics.items()
    ]
    measured = pd.DataFrame(values, columns=["run", *MEASURE, "value"])
    return table.merge(measured, on="run", how="left").fillna(dict.fromkeys(MEASURE, ""))


def wide_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Return runs as a table for people: a row a run, its keys and then its metrics as columns.

    The keys are the data set, category and fold, and those by which the runs differ.
    """
    listed = list(runs)
    varied = varying(one_row_each(long_frame(listed)))
    names = dict.fromkeys(("dataset", *OF_THE_RUN, *varied))
    keys = pd.DataFrame([{name: run.keys.get(name, "") for name in names} for run in listed])
    facts = pd.DataFrame([(run.status.value, run.reason, run.place) for run in listed])
    facts.columns = pd.Index(("status", "reason", "place"))
    metrics = pd.DataFrame([dict(run.metrics) for run in listed], index=facts.index)
    return pd.concat([keys.apply(_as_numbers), facts, metrics], axis=1)


def _as_numbers(texts: pd.Series) -> pd.Series:
    """Return a column as numbers where all of its texts are."""
    try:
        return pd.to_numeric(texts)
    except ValueError:
        return texts


def one_row_each(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row of each run, for what concerns it as a whole."""
    return frame.drop_duplicates("run")


def one_run_each(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keep one run of each job: the newest that finished, else the newest that failed.

    Returns:
        the runs, in the order in which their jobs came first, and how many were left out that
        repeat a finished one.
    """
    runs = one_row_each(frame)
    standing = runs["status"].map({"finished": 0, "failed": 1, "missing": 2})
    best_first = runs.assign(standing=standing).sort_values(
        ["standing", "ended"], ascending=[True, False], kind="stable"
    )
    kept = frame["run"].isin(best_first.drop_duplicates("job")["run"])
    repeated = runs.loc[standing == 0, "job"].duplicated().sum()
    return frame[kept].sort_values("job", kind="stable"), int(repeated)


def run_keys(config: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, str]:
    """Return a run's keys, as `Run` describes them.

    Args:
        config: the run's config, nested.
        choices: the choice in each group, as `hydra.runtime.choices` lists them.
    """
    keys = dict(flatten(config))
    keys |= {group: str(choice) for group, choice in choices.items() if "hydra/" not in group}
    keys |= {FOLDS: keys["fold"], "fold": keys.get("fold.index", keys["fold"])}
    if keys["backbone"] == "timm":
        keys["backbone"] = keys["backbone.name"]
    return keys


def flatten(config: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any YAML
    """Yield a nested config's leaves as dotted keys and text."""
    return ((key, str(value)) for key, value in leaves(config))


@cache
def measure(name: str) -> Measure:
    """Take a metric's name apart."""
    parts = METRIC_NAME.fullmatch(name)
    if not parts:
        return Measure(name, "", ALL)
    return Measure(parts["metric"], parts["sigma"] or "", parts["block"] or ALL)


def factor(metric: str) -> float:
    """Return by what a metric is multiplied to be printed."""
    share = metric.startswith(SHARES) and not metric.endswith(THRESHOLD)
    return 100.0 if share else 1.0


def higher_is_better(metric: str) -> bool:
    """Tell whether the greatest number of a metric is the best."""
    return metric.startswith(HIGHER_IS_BETTER) and not metric.endswith(THRESHOLD)


def same_value(first: str, second: str) -> bool:
    """Tell whether two texts are equal, as numbers where both are."""
    if first == second:
        return True
    try:
        return float(first) == float(second)
    except ValueError:
        return False


def keys_of(frame: pd.DataFrame) -> list[str]:
    """Return the keys that a frame's runs have, a column each."""
    return [key for key in frame.columns if key not in (*RUN, *MEASURE, *NUMBERS, *PLACE)]


def is_of_setting(key: str) -> bool:
    """Tell whether a key may change a run's numbers and is neither its category nor its fold."""
    return key not in OF_THE_FOLD and not _below(key, (*WITHOUT_EFFECT, *OF_THE_CATEGORY))


def varying(frame: pd.DataFrame, named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return all keys by which the runs' settings differ; groups' choices come first.

    Left out is what a group's choice implies: a key below the group that all runs of the choice
    have as its YAML file has it.

    Args:
        frame: the runs.
        named: keys that are named already.
    """
    settings = frame.drop_duplicates("setting")
    return tuple(
        key
        for key in _candidates(frame)
        if key not in named and settings[key].nunique() > 1 and not _implied(settings, key)
    )


def _implied(settings: pd.DataFrame, key: str) -> bool:
    group, _, below = key.partition(".")
    if below in settings and (settings[below].astype(str) == settings[key].astype(str)).all():
        return True  # a detector's copy of another group
    group = FOLDS if group == "fold" else group
    if not below or group not in settings:
        return False
    computations = settings.get(COMPUTATION, pd.Series("", settings.index)).astype(str)
    values = pd.DataFrame(
        {"choice": settings[group], COMPUTATION: computations, "value": settings[key]}
    ).drop_duplicates()
    return not values.duplicated(["choice", COMPUTATION]).any() and all(
        below == "_target_"
        or "${" in value  # as Hydra writes it to a run's folder: what it refers to differs itself
        or default_of(group, choice, computation).get(below, value) == value
        for choice, computation, value in values.itertuples(index=False)
    )


@cache
def default_of(group: str, choice: str, computation: str = "") -> Mapping[str, str]:
    """Return the keys of a choice's own YAML file, with plain values; none of a user's file.

    Args:
        group: of the config.
        choice: in it.
        computation: the one whose values the file refers to; these are left out where it is "".
    """
    path = config_folder() / ("fold" if group == FOLDS else group) / f"{choice}.yaml"
    if not path.is_file():
        return {}
    keys = flatten(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    shared = default_of(COMPUTATION, computation) if computation else {}
    known = {f"${{{COMPUTATION}.{key}}}": value for key, value in shared.items()}
    resolved = {key: known.get(value, value) for key, value in keys}
    return {key: value for key, value in resolved.items() if "${" not in value}


def _candidates(frame: pd.DataFrame) -> list[str]:
    """Return the keys of all settings: the groups in order, then others, outer ones first."""
    rank = {group: position for position, group in enumerate(GROUPS)}
    return sorted(
        filter(is_of_setting, keys_of(frame)),
        key=lambda key: (rank.get(key, len(rank)), key.count(".")),
    )


def _numbers(values: Iterable[Setting]) -> list[int]:
    """Number distinct values in the order in which they come."""
    numbers: dict[Setting, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]


def _below(key: str, names: Sequence[str]) -> bool:
    """Tell whether a key is one of those names, or lies below one."""
    return key.startswith(tuple(f"{name}{end}" for name in names for end in "./")) or key in names
