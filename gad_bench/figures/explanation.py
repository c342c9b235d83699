"""Where scores come from: blocks and principal components, from features at hand."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from gad_bench.base.errors import UserError
from gad_bench.base.files import write_text
from gad_bench.data.images import read_image, shrink
from gad_bench.data.split import Rows
from gad_bench.evaluation import Scores
from gad_bench.evaluation.metrics import auroc
from gad_bench.features.interface import Features
from gad_bench.figures.names import readable
from gad_bench.gaussian import FittedBlock
from gad_bench.gaussian.metric import Contributions

if TYPE_CHECKING:
    from gad_bench.figures.explanation_panels import Case

SIDE = 200  # pixels of a picture's longer side

log = logging.getLogger(__name__)


class Explanation(Protocol):
    """A way to tell where scores come from."""

    def draw(  # noqa: PLR0913 - a run's results
        self,
        output: Path,
        tested: pd.DataFrame,
        features: Mapping[int, Features],
        rows: Rows,
        scores: Scores,
        fitted: Mapping[int, FittedBlock],
        *,
        name: str,
    ) -> None:
        """Leave figures in a folder.

        Args:
            output: the folder.
            tested: the test images' rows of the catalog.
            features: of all images, by block.
            rows: which of them are the test images.
            scores: the test images' scores.
            fitted: the blocks' detectors.
            name: of the run.
        """


@dataclass(frozen=True, kw_only=True)
class NoExplanation:
    """Draw nothing."""

    def draw(self, *_: object, **__: object) -> None:
        """Draw nothing."""


@dataclass(frozen=True, kw_only=True)
class ComponentExplanation:
    """Draw components.png and explanation.png, and write components.csv.

    Attributes:
        images: how many of each kind are explained: the anomalous ones of highest and of lowest
            score, and the good ones of highest.
    """

    images: int

    def __post_init__(self) -> None:
        if self.images < 1:
            raise UserError(f"explanation.images must be at least 1, not {self.images}")

    def draw(  # noqa: PLR0913 - a run's results
        self,
        output: Path,
        tested: pd.DataFrame,
        features: Mapping[int, Features],
        rows: Rows,
        scores: Scores,
        fitted: Mapping[int, FittedBlock],
        *,
        name: str,
    ) -> None:
        """Explain the test images' scores; see `Explanation`."""
        from gad_bench.figures.explanation_panels import draw_cases, draw_ranks
        from gad_bench.figures.style import save_figure

        split = {
            block: model.contributions(features[block][rows]) for block, model in fitted.items()
        }
        known = {block: parts for block, parts in split.items() if parts is not None}
        if len(known) < len(split):
            log.info("no components are explained: these scores are no Mahalanobis distances")
        cases = [
            _case(row, kind, tested, scores, known)
            for kind, chosen in chosen_rows(scores, self.images).items()
            for row in chosen
        ]
        save_figure(draw_cases(cases), output / "explanation.png", name)
        if known:
            table = auroc_by_rank(scores.labels, known)
            write_text(output / "components.csv", table.to_csv(index=False))
            save_figure(draw_ranks(table), output / "components.png", name)


def auroc_by_rank(labels: Any, known: Mapping[int, Contributions]) -> pd.DataFrame:  # noqa: ANN401
    """Return what single components, and all on either side of a rank, tell of test images.

    Returns:
        A row per block and component, by falling variance: block, rank (from 1), directions (1, but
        for all that lie beyond the components together), variance, and the AUROC of it `alone`, of
        it and all of more variance (`leading`) and of it and all of less (`trailing`).
    """
    rows = []
    for block, parts in known.items():
        leading = np.cumsum(parts.squared, axis=1)
        trailing = np.cumsum(parts.squared[:, ::-1], axis=1)[:, ::-1]
        for index, variance in enumerate(parts.variances):
            kinds = {"alone": parts.squared, "leading": leading, "trailing": trailing}
            areas = {name: auroc(labels, values[:, index]) for name, values in kinds.items()}
            facts = {"block": block, "rank": index + 1, "directions": parts.directions[index]}
            rows.append(facts | {"variance": variance} | areas)
    return pd.DataFrame(rows)


def chosen_rows(scores: Scores, count: int) -> dict[str, list[int]]:
    """Return the anomalous images of highest and lowest score, and the good ones of highest."""
    order = np.argsort(scores.combined, kind="stable")
    good, anomalous = (order[scores.labels[order] == label].tolist() for label in (0, 1))
    return {
        "anomalous, highest": anomalous[::-1][:count],
        "anomalous, lowest": anomalous[:count],
        "good, highest": good[::-1][:count],
    }


def _case(
    row: int, kind: str, tested: pd.DataFrame, scores: Scores, known: Mapping[int, Contributions]
) -> Case:
    from gad_bench.figures.explanation_panels import Case

    good = scores.labels == 0
    excess = {b: float(v[row] - np.median(v[good])) for b, v in scores.blocks.items()}
    block = max(excess, key=lambda own: excess[own] if own in known or not known else -np.inf)
    parts = known.get(block)
    return Case(
        picture=shrink(read_image(tested["path"].iloc[row]), SIDE),
        title=f"{kind}: {readable(tested['defect'].iloc[row])}  {scores.combined[row]:#.3g}",
        anomalous=bool(scores.labels[row]),
        excess=excess,
        block=block,
        directions=None if parts is None else parts.directions,
        squared=None if parts is None else parts.squared[row],
        normal=None if parts is None else parts.squared[good].mean(axis=0),
    )
