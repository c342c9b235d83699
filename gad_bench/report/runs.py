"""What the report knows of a run, and which runs are the same job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gad_bench.config import leaves

Setting = frozenset[tuple[str, str]]

# Keys that leave a run's numbers as they are, with all keys below them.
WITHOUT_EFFECT = (
    *("cache_dir", "keep_images", "device", "batch_size", "figures", "resume"),
    *("tracking", "experiment", "variant", "hydra"),
)
OF_THE_CATEGORY = ("category", "dataset.categories")
OF_THE_FOLD = ("fold", "fold.index")


class Status(StrEnum):
    """How far a run came."""

    FINISHED = "finished"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a job, or the place of one that was asked for.

    Attributes:
        keys: the config, flattened to dotted keys, and each group's choice under the group's name;
            `fold` is the fold's number, or "full".
        status: how far it came.
        metrics: by name, of a finished run.
        ended: when, in seconds since the epoch.
        place: its output folder, or its id in MLflow.
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
        return frozenset(_without(self.keys, WITHOUT_EFFECT))

    @property
    def setting(self) -> Setting:
        """What determines its numbers, but for category and fold."""
        fixed = _without(self.keys, (*WITHOUT_EFFECT, *OF_THE_CATEGORY))
        return frozenset(pair for pair in fixed if pair[0] not in OF_THE_FOLD)


def one_run_each(runs: Iterable[Run]) -> tuple[list[Run], int]:
    """Keep one run of each job: the newest that finished, else the newest that failed.

    Returns:
        the runs, in the order in which their jobs came first, and how many were left out that
        repeat a finished one.
    """
    jobs: dict[Setting, list[Run]] = {}
    for run in runs:
        jobs.setdefault(run.job, []).append(run)
    finished = [sum(run.status is Status.FINISHED for run in same) for same in jobs.values()]
    return [max(same, key=_standing) for same in jobs.values()], sum(
        max(n - 1, 0) for n in finished
    )


def flatten(config: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any YAML
    """Yield a nested config's leaves as dotted keys and text."""
    return ((key, str(value)) for key, value in leaves(config))


def same_value(one: str, other: str) -> bool:
    """Tell whether two texts are equal, as numbers where both are."""
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _standing(run: Run) -> tuple[int, float]:
    return (Status.MISSING, Status.FAILED, Status.FINISHED).index(run.status), run.ended


def _without(keys: Mapping[str, str], left_out: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    below = tuple(f"{key}." for key in left_out) + tuple(f"{key}/" for key in left_out)
    for key, value in keys.items():
        if key not in left_out and not key.startswith(below):
            yield key, value
