"""A metric's name, taken apart: which quantity, at which sigma, of which block."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

NAME = re.compile(r"(?P<metric>.+?)(?:_sigma_(?P<sigma>\d+))?(?:_block_(?P<block>\d+))?")
ALL = "all"  # the blocks combined
HIGHER_IS_BETTER = ("auroc", "aupr")
SHARES = ("auroc", "aupr", "fpr", "tpr")  # quantities in [0, 1], printed in percent


class Measure(NamedTuple):
    """One of a run's numbers. Its fields are keys of a table's axes, as config keys are."""

    metric: str
    sigma: str  # "" where the metric has none
    block: str  # a number, or "all"


@cache
def measure(name: str) -> Measure:
    """Take a metric's name apart."""
    found = NAME.fullmatch(name)
    if not found:
        return Measure(name, "", ALL)
    return Measure(found["metric"], found["sigma"] or "", found["block"] or ALL)


def factor(metric: str) -> float:
    """Return by what a metric is multiplied to be printed."""
    return 100.0 if metric.startswith(SHARES) else 1.0
