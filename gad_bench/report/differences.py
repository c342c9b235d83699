"""Which settings the same test images tell apart, in words and as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gad_bench.base.run_folder import SCORES
from gad_bench.evaluation.paired import Compared, compare
from gad_bench.report.frame import ALL
from gad_bench.report.tables import Table
from gad_bench.report.text import column_text, csv_text, row_text

HOW = (
    "By DeLong's test on the same images, with Holm's correction for all pairs, at the level of "
    "5 %. What is not told apart is not shown to be equal: more test images may tell."
)


@dataclass(frozen=True)
class Differences:
    """The settings of a category on the same test images.

    Attributes:
        category: its name.
        images: how many were tested.
        names: the settings.
        compared: they, by position.
    """

    category: str
    images: int
    names: Sequence[str]
    compared: Compared

    @property
    def words(self) -> str:
        """What is told apart from the best, and what is not."""
        best, *alike = (self.names[place] for place in self.compared.alike)
        where = f"On the {self.images} test images of {self.category}"
        if len(alike) + 1 == len(self.names):
            return f"{where} {_listed([best, *alike])} cannot be told apart."
        if not alike:
            return f"{where} {best} is the best, and told apart from every other setting."
        rest = len(self.names) - len(alike) - 1
        others = "the other setting is" if rest == 1 else f"the other {rest} settings are"
        return f"{where} {best}, the best, cannot be told apart from {_listed(alike)}; {others}."

    @property
    def rows(self) -> Iterator[dict[str, object]]:
        """A row a setting, the best first; AUROC and its differences in percent."""
        best = self.compared.order[0]
        for place in self.compared.order:
            low, high = 100 * self.compared.below_best[place]
            yield {
                "category": csv_text(self.category),
                "images": self.images,
                "setting": csv_text(self.names[place]),
                "auroc": 100 * self.compared.auroc[place],
                "below_best": 100 * (self.compared.auroc[best] - self.compared.auroc[place]),
                "low": low,
                "high": high,
                "p_value": self.compared.p_values[best, place],
            }


def find_differences(table: Table) -> list[Differences]:
    """Compare the settings of a table of categories, where each has the scores of the same images.

    Empty for a table of another kind, and for runs whose folders are not at hand.
    """
    of_categories = ("category",) in (table.layout.rows, table.layout.columns)
    if not of_categories or table.metrics != ["auroc"] or set(table.entries["block"]) != {ALL}:
        return []
    in_columns = table.layout.rows == ("category",)
    axis = "column" if in_columns else "row"
    names = [
        column_text(table, label) if in_columns else row_text(table, label)
        for label in (table.columns if in_columns else table.rows)
    ]
    found = []
    for category, entries in table.entries.groupby("category", observed=True, sort=False):
        runs = {
            names[own[axis].iloc[0]]: _read_folds(list(own["place"]))
            for _, own in entries.groupby(axis)
            if own["value"].notna().all()
        }
        tested = _same_images(runs)
        if tested is not None and len(runs) > 1:
            detectors = [np.array([fold["score"] for fold in folds]) for folds in runs.values()]
            compared = compare(tested.to_numpy(), detectors)
            found.append(Differences(str(category), len(tested), list(runs), compared))
    return found


def to_csv(differences: Sequence[Differences]) -> str:
    """Return a line a category and setting."""
    return pd.DataFrame([row for own in differences for row in own.rows]).to_csv(index=False)


def to_markdown(differences: Sequence[Differences]) -> str:
    """Return the words."""
    lines = [f"- {own.words}" for own in differences]
    return "\n".join(["**Differences on the same test images**", "", HOW, "", *lines, ""])


def _read_folds(places: Sequence[str]) -> list[pd.DataFrame]:
    """Return the scores of each fold of some runs, by image."""
    folds = []
    for place in places:
        path = Path(place, SCORES)
        if not place or not path.is_file():
            return []
        scores = pd.read_csv(path, usecols=lambda name: name in ("path", "label", "score", "fold"))
        numbers = scores.pop("fold") if "fold" in scores else pd.Series(0, scores.index)
        folds += [own.set_index("path").sort_index() for _, own in scores.groupby(numbers)]
    return folds


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
