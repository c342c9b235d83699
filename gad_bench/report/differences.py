"""Which settings the same test images tell apart, in words and as CSV."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gad_bench.base.command import one_line
from gad_bench.base.errors import UserError
from gad_bench.base.run_folder import RESAMPLES, SCORES
from gad_bench.evaluation.kept_resamples import KeptResamples, read_resamples
from gad_bench.evaluation.paired import Compared, compare, compare_resampled
from gad_bench.report.frame import ALL, factor
from gad_bench.report.tables import Table
from gad_bench.report.text import column_text, csv_text, metric_name, row_text

HOW = (
    "AUROC by DeLong's test on the same images, other figures by the bootstrap of their difference "
    "over the same images; each with Holm's correction for all pairs, at the level of 5 %. What is "
    "not told apart is not shown to be equal: more test images may tell."
)
COLUMNS = ("path", "label", "score", "fold")
FIRST = "auroc"  # of the figures, the one that is told first
DAMAGE = (ValueError, KeyError)  # what a table that is none ends in

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Differences:
    """The settings of a category on the same test images, by one figure.

    Attributes:
        category: its name.
        metric: the figure's.
        images: how many were tested.
        names: the settings.
        compared: they, by position.
    """

    category: str
    metric: str
    images: int
    names: Sequence[str]
    compared: Compared

    @property
    def words(self) -> str:
        """What is told apart from the best, and what is not."""
        best, *alike = (self.names[place] for place in self.compared.alike)
        where = f"{self._by}n the {self.images} test images of {self.category}"
        if len(alike) + 1 == len(self.names):
            return f"{where} {_listed([best, *alike])} cannot be told apart."
        if not alike:
            return f"{where} {best} is the best, and told apart from every other setting."
        rest = len(self.names) - len(alike) - 1
        others = "the other setting is" if rest == 1 else f"the other {rest} settings are"
        return f"{where} {best}, the best, cannot be told apart from {_listed(alike)}; {others}."

    @property
    def _by(self) -> str:
        named = metric_name(self.metric).removesuffix(" in %")
        return "O" if self.metric == FIRST else f"By {named}, o"

    @property
    def rows(self) -> Iterator[dict[str, object]]:
        """A row a setting, the best first; shares and their differences in percent."""
        best, by = self.compared.order[0], factor(self.metric)
        for place in self.compared.order:
            low, high = by * self.compared.below_best[place]
            yield {
                "category": csv_text(self.category),
                "metric": self.metric,
                "images": self.images,
                "setting": csv_text(self.names[place]),
                "value": by * self.compared.values[place],
                "below_best": by * (self.compared.values[best] - self.compared.values[place]),
                "low": low,
                "high": high,
                "p_value": self.compared.p_values[best, place],
            }


def find_differences(table: Table) -> list[Differences]:
    """Compare the settings of a table of categories, where each has the scores of the same images.

    By AUROC and average precision, and by the figures of their heat maps where they kept them.
    Empty for a table of another kind, and for runs whose files are not at hand.
    """
    of_categories = ("category",) in (table.layout.rows, table.layout.columns)
    if not of_categories or len(table.metrics) > 1 or set(table.entries["block"]) != {ALL}:
        return []
    in_columns = table.layout.rows == ("category",)
    axis = "column" if in_columns else "row"
    names = [
        column_text(table, label) if in_columns else row_text(table, label)
        for label in (table.columns if in_columns else table.rows)
    ]
    found: list[Differences] = []
    for category, entries in table.entries.groupby("category", observed=True, sort=False):
        places = {
            names[own[axis].iloc[0]]: list(own["place"])
            for _, own in entries.groupby(axis)
            if own["value"].notna().all()
        }
        found += _by_scores(str(category), places)
        found += _by_resamples(str(category), places)
    return sorted(found, key=lambda own: own.metric != FIRST)


def _by_scores(category: str, places: Mapping[str, Sequence[str]]) -> Iterator[Differences]:
    """Compare settings by their images' scores, if they tested the same images."""
    runs = {name: _read_folds(own) for name, own in places.items()}
    tested = _same_images(runs)
    if tested is None or len(runs) < 2:
        return
    detectors = [np.array([fold["score"] for fold in folds]) for folds in runs.values()]
    for metric, compared in compare(tested.to_numpy(), detectors).items():
        yield Differences(category, metric, len(tested), list(runs), compared)


def _by_resamples(category: str, places: Mapping[str, Sequence[str]]) -> Iterator[Differences]:
    """Compare those settings that kept figures over resamples, if these are of the same images."""
    runs = {name: _read_resamples(own) for name, own in places.items()}
    kept = {name: own for name, own in runs.items() if own}
    folds = [fold for own in kept.values() for fold in own]
    if len(kept) < 2 or len({fold.images for fold in folds}) > 1:
        return
    first = folds[0]
    for metric in first.drawn:
        if all(metric in fold.drawn for fold in folds):
            values = np.array([np.mean([f.values[metric] for f in own]) for own in kept.values()])
            drawn = [np.mean([fold.drawn[metric] for fold in own], axis=0) for own in kept.values()]
            compared = compare_resampled(values, np.array(drawn), first.fewest)
            yield Differences(category, metric, first.tested, list(kept), compared)


def to_csv(differences: Sequence[Differences]) -> str:
    """Return a line a category and setting."""
    return pd.DataFrame([row for own in differences for row in own.rows]).to_csv(index=False)


def to_markdown(differences: Sequence[Differences]) -> str:
    """Return the words."""
    lines = [f"- {own.words}" for own in differences]
    return "\n".join(["**Differences on the same test images**", "", HOW, "", *lines, ""])


def _read_folds(places: Sequence[str]) -> list[pd.DataFrame]:
    """Return the scores of each fold of some runs, by image; nothing where a run's are damaged."""
    folds = []
    for place in places:
        path = Path(place, SCORES)
        if not place or not path.is_file():
            return []
        try:
            scores = pd.read_csv(path, usecols=lambda name: name in COLUMNS)
            numbers = scores["fold"] if "fold" in scores else pd.Series(0, scores.index)
            named = scores[["path", "label", "score"]].set_index("path")
            folds += [own.sort_index() for _, own in named.groupby(numbers.to_numpy())]
        except DAMAGE as error:
            log.warning("%s is damaged (%s): its run is not compared", path, one_line(error))
            return []
    return folds


def _read_resamples(places: Sequence[str]) -> list[KeptResamples]:
    """Return what each of some runs kept; nothing where one has nothing, or damaged."""
    paths = [Path(place, RESAMPLES) for place in places]
    if not all(places) or not all(path.is_file() for path in paths):
        return []
    try:
        return [read_resamples(path) for path in paths]
    except UserError as error:
        log.warning("%s", error)
        return []


def _same_images(runs: dict[str, list[pd.DataFrame]]) -> pd.Series | None:
    """Return the labels of the images that all folds of all runs test, None where they differ."""
    folds = [fold for own in runs.values() for fold in own]
    if not folds or not all(runs.values()):
        return None
    labels = folds[0]["label"]
    alike = all(fold["label"].equals(labels) for fold in folds)
    return labels if alike and set(labels) == {0, 1} else None


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
