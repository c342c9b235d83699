from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from readable import assert_readable

from gad_bench.evaluation import Scores, evaluate
from gad_bench.figures.contact_sheet import OUTLINE_COLOUR, _thumbnail
from gad_bench.figures.curves import draw_histogram
from gad_bench.figures.run_figures import draw_figures
from gad_bench.figures.style import LINE, save_picture

NAMES = ["blocks.png", "contact_sheet.png", "curves.png", "histogram.png"]
SEVERAL = ["block_curves.png"]  # where there are several blocks


def picture(path: Path, height: int, width: int, value: int = 90) -> str:
    cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))
    return str(path)


@pytest.mark.parametrize(("count", "blocks"), [(1, 2), (9, 1)])
def test_a_run_leaves_its_figures_whole(count: int, blocks: int, tmp_path: Path) -> None:
    labels = np.repeat([0, 1], count)
    values = np.random.default_rng(0).normal(size=2 * count) + 5 * labels
    tested = pd.DataFrame(
        {
            "path": picture(tmp_path / "image.jpg", 300, 200),
            "defect": np.where(labels, "crack", "good"),
            "mask": "",
        },
        index=range(2 * count),
    )
    scores = Scores(
        labels=labels,
        defects=list(tested["defect"]),
        blocks=dict.fromkeys(range(blocks), values),
        combined=values,
        dimensions={},
    )
    output = tmp_path / "output"
    draw_figures(output, tested, scores, evaluate(scores, seed=0), "a run")
    names = NAMES if blocks == 1 else [*SEVERAL, *NAMES]
    assert sorted(path.name for path in output.iterdir()) == names
    assert all(cv2.imread(str(output / name)) is not None for name in names)


@pytest.mark.parametrize("label", [0, 1])
def test_images_of_one_kind_have_the_figures_that_take_one(label: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=9)
    tested = pd.DataFrame({"path": picture(tmp_path / "a.png", 30, 20), "defect": "x", "mask": ""},
                          index=range(9))  # fmt: skip
    scores = Scores(
        labels=np.full(9, label),
        defects=["x"] * 9,
        blocks={0: values},
        combined=values,
        dimensions={0: 3},
    )
    metrics = evaluate(scores, seed=0)
    metrics |= {"threshold_conformal": 1.0, "fpr_wanted": 0.05, "fpr_used": 0.05}
    draw_figures(tmp_path / "output", tested, scores, metrics, "a run")
    drawn = sorted(path.name for path in (tmp_path / "output").iterdir())
    assert drawn == ["contact_sheet.png", "histogram.png"]
    figure = draw_histogram(scores, metrics, "good images held out")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "good images held out"
    assert len(axes.patches) == 1
    (threshold,) = axes.lines
    assert list(threshold.get_xdata()) == [1.0, 1.0]
    assert_readable(figure)


def test_where_several_fits_decide_the_histogram_shows_the_range_of_both_decisions(
    scores: Scores,
) -> None:
    p_values = np.where(scores.combined > np.median(scores.combined), 0.04, 0.5)
    order = np.argsort(scores.combined)
    p_values[order[[9, 10]]] = p_values[order[[10, 9]]]
    decided = replace(scores, p_values=p_values)
    metrics = evaluate(decided, seed=0) | {"fpr_used": 0.05}
    figure = draw_histogram(decided, metrics)
    span = figure.axes[0].patches[-1].get_extents().transformed(figure.axes[0].transData.inverted())
    assert [span.x0, span.x1] == pytest.approx(list(scores.combined[order[[9, 10]]]))
    assert_readable(figure)
    assert_readable(draw_histogram(replace(decided, blocks={}), metrics))


def test_a_caption_stands_on_as_many_lines_as_it_takes(tmp_path: Path) -> None:
    parts = ["a method", "a backbone of a long name", "a category", "fold 0"]
    picture = np.full((50, 200, 3), 90, np.uint8)
    save_picture(picture, tmp_path / "narrow.png", " · ".join(parts))
    save_picture(np.repeat(picture, 4, axis=1), tmp_path / "wide.png", " · ".join(parts))
    narrow, wide = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("narrow", "wide"))
    assert narrow.shape == (50 + 3 * LINE, 200, 3)
    assert wide.shape == (50 + LINE, 800, 3)
    assert (narrow[: 3 * LINE, -3:] == 255).all()


def test_a_line_runs_round_a_defect_and_leaves_it_to_be_seen(tmp_path: Path) -> None:
    mask = np.zeros((720, 720), np.uint8)
    mask[400:420, 200:203] = 255  # thinner than a pixel of the thumbnail
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    image = picture(tmp_path / "image.png", 720, 720)
    shown = _thumbnail(image, str(tmp_path / "mask.png"))
    outlined = np.argwhere((shown == OUTLINE_COLOUR).all(axis=2))
    assert outlined.min(axis=0) == pytest.approx([96, 46], abs=1)
    assert outlined.max(axis=0) == pytest.approx([109, 54], abs=1)
    assert (shown[100:105, 50] == 90).all()


def test_an_empty_mask_has_no_line(tmp_path: Path) -> None:
    image = picture(tmp_path / "image.png", 40, 40)
    mask = picture(tmp_path / "mask.png", 40, 40, value=0)
    np.testing.assert_array_equal(_thumbnail(image, mask), _thumbnail(image, ""))


@pytest.mark.parametrize(("height", "width"), [(2, 2000), (2000, 2), (1, 1)])
def test_images_of_any_shape_have_a_thumbnail(height: int, width: int, tmp_path: Path) -> None:
    shown = _thumbnail(picture(tmp_path / "image.png", height, width), "")
    assert max(shown.shape[:2]) == 180
    assert min(shown.shape[:2]) >= 1


def test_a_thumbnail_is_that_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    image, mask = picture(tmp_path / "a.png", 30, 20), picture(tmp_path / "mask.png", 30, 20, 0)
    before = _thumbnail(image, mask)
    np.testing.assert_array_equal(_thumbnail(image, mask), before)
    assert (before == 90).all()
    picture(tmp_path / "mask.png", 30, 20)
    assert (_thumbnail(image, mask) == OUTLINE_COLOUR).all(axis=2).any()
    picture(tmp_path / "a.png", 30, 20, value=40)
    picture(tmp_path / "mask.png", 30, 20, value=0)
    assert (_thumbnail(image, mask) == 40).all()
