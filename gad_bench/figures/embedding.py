"""A block's vectors in the plane: training images, good ones, and each kind of defect."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import write_text
from gad_bench.base.process import one_thread
from gad_bench.features.interface import Features

NEIGHBOURHOODS = 3  # of t-SNE's perplexity the images have room for at least so many

Matrix = NDArray[np.float64]

log = logging.getLogger(__name__)


class Plane(NamedTuple):
    """Vectors in the plane, and what its axes are."""

    places: Matrix  # [images, 2]
    x: str
    y: str


class Embedding(Protocol):
    """A way to look at vectors."""

    def require(self, blocks: Sequence[int]) -> None:
        """Refuse what blocks do not admit, before anything is extracted.

        Raises:
            UserError: the block to be drawn is none of them.
        """

    def draw(
        self, output: Path, catalog: pd.DataFrame, features: Mapping[int, Features], name: str
    ) -> None:
        """Leave a figure and its coordinates in a folder.

        Args:
            output: the folder.
            catalog: the images.
            features: theirs, by block.
            name: of the run.
        """


@dataclass(frozen=True, kw_only=True)
class NoEmbedding:
    """Draw nothing."""

    def require(self, blocks: Sequence[int]) -> None:
        """Admit any blocks."""

    def draw(self, *_: object) -> None:
        """Draw nothing."""


@dataclass(frozen=True, kw_only=True)
class Picture(ABC):
    """What all ways share: embedding.png, and embedding.csv with a row per image.

    Attributes:
        block: whose vectors; None for the deepest in use.
        thumbnails: whether images stand in the place of points, where they have room.
    """

    block: int | None
    thumbnails: bool

    @abstractmethod
    def place(self, vectors: Matrix) -> Plane:
        """Return vectors [images, dim] in the plane; there are at least two of each."""

    def require(self, blocks: Sequence[int]) -> None:
        """Refuse a block that is not in use; see `Embedding`."""
        if self.block is not None and self.block not in blocks:
            known = ", ".join(map(str, blocks))
            raise UserError(f"embedding.block={self.block}: the blocks in use are {known}")

    def draw(
        self, output: Path, catalog: pd.DataFrame, features: Mapping[int, Features], name: str
    ) -> None:
        """Leave embedding.png and embedding.csv; see `Embedding`."""
        from gad_bench.figures.embedding_panel import draw_plane
        from gad_bench.figures.style import save_figure

        block = max(features) if self.block is None else self.block
        vectors = np.asarray(features[block], np.float64)
        if min(vectors.shape) < 2 or not np.ptp(vectors, axis=0).any():
            log.warning("no embedding.png: the vectors of block %d do not vary in a plane", block)
            return
        with one_thread():
            plane = self.place(vectors)
        kinds = kinds_of(catalog)
        table = pd.DataFrame({"path": catalog["path"], "kind": kinds})
        table[["x", "y"]] = plane.places
        write_text(output / "embedding.csv", table.to_csv(index=False))
        paths = list(catalog["path"]) if self.thumbnails else []
        figure = draw_plane(plane, list(kinds), paths)
        save_figure(figure, output / "embedding.png", f"{name} · vectors of block {block}")


@dataclass(frozen=True, kw_only=True)
class PrincipalComponentPicture(Picture):
    """Draw vectors along their two principal components of most variance, of all images."""

    def place(self, vectors: Matrix) -> Plane:
        """Return vectors in the plane; see `Picture`."""
        from sklearn.decomposition import PCA

        solver = "full" if len(vectors) < vectors.shape[1] else "covariance_eigh"
        components = PCA(n_components=2, svd_solver=solver).fit(vectors)
        names = [
            f"component {number}, {share:.0%} of the variance"
            for number, share in enumerate(components.explained_variance_ratio_, 1)
        ]
        return Plane(components.transform(vectors), *names)


@dataclass(frozen=True, kw_only=True)
class NeighbourPicture(Picture):
    """Draw vectors by t-SNE: neighbours stay together, distances between groups mean nothing.

    It is scikit-learn's, of van der Maaten and Hinton 2008, "Visualizing data using t-SNE".

    Attributes:
        perplexity: about how many neighbours count; less where there are few images.
        seed: of the search.
    """

    perplexity: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.perplexity < np.inf:
            raise UserError(f"embedding.perplexity must be above 0, not {self.perplexity:g}")

    def place(self, vectors: Matrix) -> Plane:
        """Return vectors in the plane; see `Picture`."""
        from sklearn.manifold import TSNE

        most = max((len(vectors) - 1) / NEIGHBOURHOODS, 1.0)
        perplexity = min(self.perplexity, most)
        search = TSNE(init="pca", perplexity=perplexity, random_state=self.seed, n_jobs=1)
        note = f"t-SNE, perplexity {perplexity:.3g}: distances between groups mean nothing"
        return Plane(search.fit_transform(vectors).astype(np.float64), note, "")


def kinds_of(catalog: pd.DataFrame) -> pd.Series[str]:
    """Return of each image whether it is a training one, good, or which kind of defect it has."""
    good = catalog["label"] == 0
    training = good & (catalog["split"] != "test")
    return catalog["defect"].mask(good, "good").mask(training, "training")
