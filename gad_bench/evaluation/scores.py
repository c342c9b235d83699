"""The scores of a test set, and all metrics of one run or of several folds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.evaluation.definitions import SOUND, Definitions
from gad_bench.evaluation.detection_rates import best_f1, false_positive_rate, true_positive_rate
from gad_bench.evaluation.intervals import (
    interval_names,
    resampled_areas,
    resampled_auroc,
    resampled_rates,
    with_intervals,
)
from gad_bench.evaluation.metrics import (
    auroc,
    average_precision,
    clopper_pearson,
)
from gad_bench.evaluation.thresholds import rates_at_sigma

KINDS = {"good": 0, "anomalous": 1}
FALSE_ALARMS = (1, 5)
"""The shares of good images, in percent, at which the share of defects found is measured."""
DETECTED = (95, 99, 100)
"""The shares of anomalous images, in percent, whose price in false alarms is measured."""
COMBINED = ""
"""How the names of the combined score's figures end."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The scores of good images that the fit did not see.

    Attributes:
        images: [images], their rows in the catalog.
        blocks: float64 [images] by block, by the same detectors as the test set's.
        combined: float64 [images], the image's score.
    """

    images: NDArray[np.integer]
    blocks: Mapping[int, NDArray[np.float64]]
    combined: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of a test set.

    Attributes:
        labels: [images], 1 for anomalous.
        defects: [images], the defect's name, "good" for good images.
        blocks: float64 [images] by block, higher is more anomalous.
        combined: float64 [images], the image's score.
        dimensions: degrees of freedom by block, where a block's score is a Mahalanobis distance.
        samples: the number of fitted vectors by block, where that distance is by their unshrunk
            covariance.
        kept: by block how many dimensions the score sees, and of how many, where that is known.
        held_out: the scores of the images held out, where there are any.
        p_values: float64 [images], where images held out give them; NaN for an image that some
            fold does not test.
    """

    labels: NDArray[np.integer]
    defects: Sequence[str]
    blocks: Mapping[int, NDArray[np.float64]]
    combined: NDArray[np.float64]
    dimensions: Mapping[int, int]
    samples: Mapping[int, int] = field(default_factory=dict)
    kept: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    held_out: HeldOut | None = None
    p_values: NDArray[np.float64] | None = None

    @property
    def lacking(self) -> list[str]:
        """Which images, of good and anomalous ones, the test set lacks."""
        return [kind for kind, label in KINDS.items() if not (self.labels == label).any()]


def evaluate(scores: Scores, *, seed: int, definitions: Definitions = SOUND) -> dict[str, float]:
    """Return every metric by name, none where the test set lacks good or anomalous images.

    Args:
        scores: of a test set.
        seed: of the bootstrap.
        definitions: of those metrics that have several.

    Raises:
        UserError: a score is not finite.
    """
    _check_finite(scores)
    if scores.lacking:
        return {}
    areas = _areas(scores, seed, definitions.average_precision)
    metrics = areas.pop(COMBINED)
    metrics |= _rates(scores.labels, scores.combined, seed)
    for of_block in areas.values():
        metrics |= of_block
    metrics |= _per_defect(scores, seed)
    return metrics | _at_sigma(scores, definitions.sigma) | _kept(scores)


def _areas(scores: Scores, seed: int, area: str) -> dict[str, dict[str, float]]:
    """Return AUROC and average precision with their intervals, by the end of their names."""
    named = {f"_block_{block}": values for block, values in scores.blocks.items()}
    named = {COMBINED: scores.combined, **named}
    drawn = resampled_areas(scores.labels, [*named.values()], seed=seed, area=area)
    return {
        end: with_intervals(
            {
                f"auroc{end}": auroc(scores.labels, values),
                f"aupr{end}": average_precision(scores.labels, values, area),
            },
            {f"{name}{end}": areas[number] for name, areas in drawn.items()},
        )
        for number, (end, values) in enumerate(named.items())
    }


def _rates(labels: NDArray[np.integer], values: NDArray[np.float64], seed: int) -> dict[str, float]:
    """Return the highest F1, its threshold and what a rate costs in the other, with intervals."""
    found = {f"fpr_at_tpr_{percent}": percent / 100 for percent in DETECTED}
    allowed = {f"tpr_at_fpr_{percent}": percent / 100 for percent in FALSE_ALARMS}
    f1, threshold = best_f1(labels, values)
    points = {
        **{name: false_positive_rate(labels, values, share) for name, share in found.items()},
        **{name: true_positive_rate(labels, values, share) for name, share in allowed.items()},
        "image_f1": f1,
    }
    drawn = resampled_rates(labels, values, [*found.values()], [*allowed.values()], seed=seed)
    over = np.concatenate([drawn["fpr"], drawn["tpr"], drawn["f1"]])
    return with_intervals(points, dict(zip(points, over, strict=True))) | {
        "image_f1_threshold": threshold
    }


def _check_finite(scores: Scores) -> None:
    named = {f"block {block}": values for block, values in scores.blocks.items()}
    for name, values in (named | {"the combined score": scores.combined}).items():
        unknown = int((~np.isfinite(values)).sum())
        if unknown:
            raise UserError(
                f"{name} is not finite for {unknown} of {len(values)} test images: "
                "choose another covariance, reduction or combination"
            )


def _per_defect(scores: Scores, seed: int) -> dict[str, float]:
    """Each defect's images against all good ones, with intervals over both."""
    defects = np.asarray(scores.defects)
    found: dict[str, float] = {}
    for defect in sorted(set(defects[scores.labels == 1])):
        chosen = (scores.labels == 0) | (defects == defect)
        key = "auroc_defect_" + re.sub(r"[^\w\-./ ]", "_", defect)  # what MLflow allows
        while key in found:
            key += "_"
        labels, values = scores.labels[chosen], scores.combined[chosen]
        (areas,) = resampled_auroc(labels, [values], seed=seed)
        found |= with_intervals({key: auroc(labels, values)}, {key: areas})
    return found


def _at_sigma(scores: Scores, route: str) -> dict[str, float]:
    """Rates at thresholds that no test image had a part in: their intervals are the exact ones."""
    counts = [int((scores.labels == label).sum()) for label in (0, 1)]
    found: dict[str, float] = {}
    for block, dimension in scores.dimensions.items():
        rates = rates_at_sigma(scores.labels, scores.blocks[block], dimension, route=route)
        for kind, count, values in zip(
            ("fpr", "tpr"), counts, zip(*rates.values(), strict=True), strict=True
        ):
            for sigma, *own in zip(rates, values, *clopper_pearson(values, count), strict=True):
                name = f"{kind}_sigma_{sigma}_block_{block}"
                found |= dict(zip((name, *interval_names(name)), map(float, own), strict=True))
    return found


def _kept(scores: Scores) -> dict[str, float]:
    found = {}
    for block, (kept, width) in scores.kept.items():
        found[f"dimension_block_{block}"] = float(kept)
        found[f"dimension_share_block_{block}"] = kept / width
    return found


Rows = NDArray[np.intp]


def held_out_as_tested(folds: Sequence[Scores]) -> tuple[Scores, Rows] | None:
    """Return the scores of the good images held out as if they were a test set, and their rows.

    None where no image was held out. Of one that several folds hold out, the first one's counts.
    """
    parts = [fold.held_out for fold in folds if fold.held_out is not None]
    if not parts:
        return None
    rows, first = np.unique(np.concatenate([part.images for part in parts]), return_index=True)
    scores = Scores(
        labels=np.zeros(len(rows), int),
        defects=["good"] * len(rows),
        blocks={
            block: np.concatenate([part.blocks[block] for part in parts])[first]
            for block in parts[0].blocks
        },
        combined=np.concatenate([part.combined for part in parts])[first],
        dimensions=folds[0].dimensions,
    )
    return scores, rows


def evaluate_folds(
    folds: Sequence[Scores], *, seed: int, definitions: Definitions = SOUND
) -> dict[str, float]:
    """Return the means over folds of every metric that all of them have, and each fold's AUROC.

    The ends of the AUROC's interval are means too: those of one fold, not of the folds' mean.

    Raises:
        UserError: a score is not finite.
    """
    metrics = [evaluate(scores, seed=seed, definitions=definitions) for scores in folds]
    if len(metrics) == 1 or not all(metrics):
        return metrics[0]
    of_folds = {
        name.replace("auroc", f"auroc_fold_{number}"): fold[name]
        for number, fold in enumerate(metrics)
        for name in ("auroc", *interval_names("auroc"))
    }
    return means_of_folds(metrics) | of_folds


def means_of_folds(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means of the metrics that all folds have; those of an only one as they are."""
    if len(folds) == 1:
        return dict(folds[0])
    shared = [key for key in folds[0] if all(key in fold for fold in folds)]
    return {key: float(np.mean([fold[key] for fold in folds])) for key in shared}


def average_folds(folds: Sequence[Scores], tested: Sequence[Rows]) -> tuple[Scores, Rows]:
    """Return the mean score of every image that all folds test, and which images those are.

    A block's degrees of freedom are kept where the folds agree on them. An image's p-value is the
    same in all folds.

    Args:
        folds: the folds' scores.
        tested: of each fold's scores the images, in rising order.
    """
    if len(folds) == 1:
        return folds[0], tested[0]
    common = reduce(np.intersect1d, tested)
    places = [np.searchsorted(rows, common) for rows in tested]

    def mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        chosen = [fold[place] for fold, place in zip(values, places, strict=True)]
        return np.asarray(np.mean(chosen, axis=0))

    first = folds[0]
    scores = Scores(
        labels=first.labels[places[0]],
        defects=[first.defects[place] for place in places[0]],
        blocks={block: mean([fold.blocks[block] for fold in folds]) for block in first.blocks},
        combined=mean([fold.combined for fold in folds]),
        dimensions={
            block: dimension
            for block, dimension in first.dimensions.items()
            if all(fold.dimensions.get(block) == dimension for fold in folds)
        },
        p_values=None if first.p_values is None else first.p_values[places[0]],
    )
    return scores, common
