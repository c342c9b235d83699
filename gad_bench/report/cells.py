"""One cell of a table: the runs behind it, and what they come to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import NamedTuple

from gad_bench.report.measures import Measure
from gad_bench.report.runs import Run, Status

Label = tuple[str, ...]


class Entry(NamedTuple):
    """One run's number, None where the run has none."""

    run: Run
    measure: Measure
    value: float | None


@dataclass(frozen=True)
class Cell:
    """The numbers of one cell, a run each."""

    entries: Sequence[Entry]

    @cached_property
    def folds(self) -> Mapping[str, list[float]]:
        """The numbers of each category, those that there are."""
        found: dict[str, list[float]] = {}
        for entry in self.entries:
            if entry.value is not None:
                found.setdefault(entry.run.keys["category"], []).append(entry.value)
        return found

    @cached_property
    def categories(self) -> Mapping[str, float]:
        """Each category's mean over its folds."""
        return {category: fmean(values) for category, values in self.folds.items()}

    @property
    def mean(self) -> float | None:
        """The mean over categories, None without a finished run."""
        return fmean(self.categories.values()) if self.categories else None

    @property
    def sem(self) -> float | None:
        """The standard error of that mean, None with fewer than two categories."""
        means = list(self.categories.values())
        return stdev(means) / math.sqrt(len(means)) if len(means) > 1 else None

    @cached_property
    def counts(self) -> Counter[Status]:
        """How many of its runs came how far."""
        return Counter(
            Status.MISSING
            if entry.value is None and entry.run.status is Status.FINISHED
            else entry.run.status
            for entry in self.entries
        )

    @property
    def finished(self) -> int:
        """How many runs gave a number."""
        return self.counts[Status.FINISHED]

    @property
    def expected(self) -> int:
        """How many runs should have."""
        return len(self.entries)

    @property
    def complete(self) -> bool:
        """Whether no run lacks."""
        return self.finished == self.expected

    @property
    def lacking(self) -> str:
        """What lacks, as in "73 of 75, 1 failed"; empty where nothing does."""
        if self.complete:
            return ""
        failed = self.counts[Status.FAILED]
        return f"{self.finished} of {self.expected}" + (f", {failed} failed" if failed else "")
