from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from gad_bench.figures.embedding import (
    NeighbourPicture,
    Picture,
    Plane,
    PrincipalComponentPicture,
    kinds_of,
)
from gad_bench.figures.embedding_panel import draw_plane

PCA = PrincipalComponentPicture(block=None, thumbnails=False)
TSNE = NeighbourPicture(block=None, thumbnails=False, perplexity=30.0, seed=0)
DEMO = ("experiment=demo", "tracking=none", "dataset.train=20", "dataset.test_good=6")


def groups(apart: float, count: int = 20) -> NDArray[np.float64]:
    """Two groups of vectors of 12 values."""
    generator = np.random.default_rng(0)
    return np.concatenate([generator.normal(size=(count, 12)) + shift for shift in (0, apart)])


@pytest.mark.parametrize("count", [20, 4])
def test_principal_components_are_those_of_the_singular_vectors(count: int) -> None:
    vectors = groups(3.0, count)
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    plane = PCA.place(vectors)
    np.testing.assert_allclose(np.abs(plane.places), np.abs(left[:, :2] * values[:2]), atol=1e-9)
    share = values[0] ** 2 / (values**2).sum()
    assert plane.x == f"component 1, {share:.0%} of the variance"


def test_t_sne_keeps_groups_apart_and_is_the_same_each_time() -> None:
    places, again = (TSNE.place(groups(9.0)).places for _ in range(2))
    np.testing.assert_array_equal(places, again)
    middles = places[:20].mean(axis=0), places[20:].mean(axis=0)
    nearer = np.linalg.norm(places[:, None] - np.array(middles), axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearer, np.repeat([0, 1], 20))


@pytest.mark.parametrize("count", [2, 3])
def test_few_images_lower_the_perplexity(count: int) -> None:
    assert TSNE.place(groups(1.0)[:count]).places.shape == (count, 2)


def test_kinds_are_training_good_and_each_defect_also_of_contaminating_images() -> None:
    catalog = pd.DataFrame(
        {
            "split": ["train", "validation", "test", "test", "test"],
            "label": [0, 0, 0, 1, 1],
            "defect": ["good", "good", "good", "cut", "hole"],
        }
    )
    assert list(kinds_of(catalog)) == ["training", "training", "good", "cut", "hole"]


def test_the_legend_counts_each_kind_training_and_good_first() -> None:
    plane = Plane(np.arange(12.0).reshape(6, 2), "x", "y")
    figure = draw_plane(plane, ["hole", "good", "training", "cut", "hole", "a$b$"])
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["training (1)", "good (1)", "a$b$ (1)", "cut (1)", "hole (2)"]


def test_many_kinds_of_defects_look_different() -> None:
    kinds = [f"defect {number}" for number in range(20)]
    figure = draw_plane(Plane(np.random.default_rng(0).normal(size=(20, 2)), "x", "y"), kinds)
    looks = {
        (tuple(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes())
        for points in figure.axes[0].collections
    }
    assert len(looks) == 20


def test_a_run_draws_a_point_an_image(program: Any) -> None:
    outcome = program(*DEMO, "embedding=pca", "embedding.thumbnails=true", "fold=cross")
    assert outcome.status == 0, outcome.errors
    run = outcome.runs[-1]
    assert (run / "embedding.png").stat().st_size > 10_000
    table = pd.read_csv(run / "embedding.csv")
    assert list(table.columns) == ["path", "kind", "x", "y"]
    assert (table["kind"] == "training").sum() == 20
    assert (table["kind"] == "good").sum() == 6
    assert np.isfinite(table[["x", "y"]]).all(axis=None)


def test_a_block_that_is_not_in_use_is_refused_by_number(program: Any) -> None:
    outcome = program(*DEMO, "embedding=pca", "embedding.block=3", "blocks.indices=[1,2]")
    assert outcome.status == 2
    assert "embedding.block=3: the blocks in use are 1, 2" in outcome.errors


@pytest.mark.parametrize("vectors", [np.ones((2, 5)), np.arange(4.0)[:, None]])
@pytest.mark.parametrize("picture", [PCA, TSNE])
def test_vectors_that_do_not_vary_in_a_plane_make_no_picture(
    picture: Picture, vectors: NDArray[np.float64], tmp_path: Path, caplog: Any
) -> None:
    catalog = pd.DataFrame({"path": "a", "split": "test", "label": 0, "defect": "good"}, range(2))
    picture.draw(tmp_path, catalog, {3: vectors.astype(np.float32)}, "a run")
    assert "the vectors of block 3 do not vary in a plane" in caplog.text
    assert not list(tmp_path.iterdir())
