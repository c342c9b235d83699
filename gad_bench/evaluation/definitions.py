"""Which of several definitions a metric has."""

from __future__ import annotations

from dataclasses import dataclass, field

from gad_bench.base.errors import require_choice
from gad_bench.evaluation.metrics import AREAS, STEPS
from gad_bench.evaluation.pixels import FALSE_POSITIVE_LIMIT, limited_name
from gad_bench.evaluation.thresholds import ROUTES, TAIL


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """The definitions of those metrics that have more than one.

    Attributes:
        average_precision: the area under the precision-recall curve. "steps": the mean precision
            over recall's steps. "trapezoid": by straight lines between its points, which Davis and
            Goadrich 2006 ("The relationship between precision-recall and ROC curves") show to be
            too optimistic; the paper's numbers have it.
        sigma: how the threshold at n sigma is found. "tail": by the upper tail, erfc(n / sqrt 2).
            "share": by p = erf(n / sqrt 2) itself, as the paper's numbers are. The two agree to
            float32 up to 7 sigma; at 8, where p is eleven roundings from 1, the latter is higher by
            2e-4 (16 dimensions) to 3e-5 (2,560) of itself.
        aupro_limits: false positive rates up to which AUPRO, and sPRO where a data set has it, are
            measured, each in (0, 1].
        deviations: SegF1's threshold is the mean of all pixels of good images held out, and so many
            standard deviations.
    """

    average_precision: str = STEPS
    sigma: str = TAIL
    aupro_limits: list[float] = field(default_factory=lambda: [FALSE_POSITIVE_LIMIT, 0.05])
    deviations: float = 3.0

    def __post_init__(self) -> None:
        require_choice("metrics.average_precision", self.average_precision, AREAS)
        require_choice("metrics.sigma", self.sigma, ROUTES)
        for limit in self.aupro_limits:
            limited_name("aupro", limit)


SOUND = Definitions()
