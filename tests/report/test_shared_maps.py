"""Examples of heat maps: the same images whatever the method, kept, and drawn side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from gad_bench.base.errors import UserError
from gad_bench.base.run_folder import EXAMPLES
from gad_bench.patches.examples import choose, examples_of, read_examples, write_examples
from gad_bench.patches.heat_maps import HeatMaps
from gad_bench.patches.truth import MaskedMaps
from gad_bench.report.frame import long_frame
from gad_bench.report.report import named_layout
from gad_bench.report.shared_maps import draw_shared_maps
from gad_bench.report.tables import fill

KINDS = ["cut", "good", "dent", "cut", "cut", "good", "dent", "hole"]


@pytest.fixture
def tested(tmp_path: Path) -> pd.DataFrame:
    rows = []
    for number, kind in enumerate(KINDS):
        path, mask = tmp_path / f"{number}.png", tmp_path / f"{number}_mask.png"
        cv2.imwrite(str(path), np.full((60, 40, 3), 10 * number, np.uint8))
        spot = np.zeros((60, 40), np.uint8)
        spot[20:30, 10:20] = 255 * (number != 4)  # the third cut's mask is empty
        cv2.imwrite(str(mask), spot)
        good = kind == "good"
        rows.append((str(path), int(not good), kind, "" if good else str(mask)))
    return pd.DataFrame(rows, columns=["path", "label", "defect", "mask"])


def maps(tested: pd.DataFrame, seed: int = 0) -> MaskedMaps:
    grids = np.random.default_rng(seed).random((len(tested), 5, 5)).astype(np.float32)
    return MaskedMaps(HeatMaps(grids=grids, input_size=40, sigma=0.0), tested)


def test_every_kind_of_defect_comes_before_a_second_of_one(tested: pd.DataFrame) -> None:
    shown = [KINDS[row] for row in choose(maps(tested))]
    assert shown == ["cut", "dent", "hole", "cut", "dent", "good"]
    assert choose(maps(tested)) == choose(maps(tested, seed=1)) == [0, 2, 7, 3, 6, 1]


def test_examples_are_read_as_they_were_written(tested: pd.DataFrame, tmp_path: Path) -> None:
    examples = examples_of(maps(tested))
    write_examples(tmp_path / EXAMPLES, examples)
    for found, written in zip(read_examples(tmp_path / EXAMPLES), examples, strict=True):
        assert (found.path, found.defect) == (written.path, written.defect)
        for kind in ("image", "mask", "heat"):
            np.testing.assert_array_equal(getattr(found, kind), getattr(written, kind))
    assert examples[0].image.shape == (128, 85, 3)
    assert examples[0].heat.shape == examples[0].mask.shape == (128, 85)
    assert examples[0].mask.any()
    (tmp_path / EXAMPLES).write_bytes((tmp_path / EXAMPLES).read_bytes()[:-9])
    with pytest.raises(UserError, match="is damaged"):
        read_examples(tmp_path / EXAMPLES)


def test_methods_stand_side_by_side(tested: pd.DataFrame, tmp_path: Path, run_of: Any) -> None:
    runs = []
    for number, detector in enumerate(("gaussian", "padim", "patchcore", "dfm")):
        folder = tmp_path / detector
        folder.mkdir()
        if detector != "gaussian":  # which has no maps
            own = tested if detector != "dfm" else tested.iloc[:4]  # fewer images
            write_examples(folder / EXAMPLES, examples_of(maps(own, number)))
        run = run_of("bottle", 0, 0.9, detector=detector)
        runs.append(type(run)(**{**vars(run), "place": str(folder)}))
    table = fill(named_layout("methods", {}), long_frame(runs))
    (picture,) = draw_shared_maps(table)
    assert picture.name == "maps_bottle"
    axes = np.array(picture.plot.axes).reshape(-1, 5)
    titles = [own.get_title() for own in axes[0]]
    assert titles[:2] == ["image", "mask"]
    assert {title.split()[0] for title in titles[2:]} == {"padim", "patchcore", "dfm"}
    assert [own.get_ylabel() for own in axes[:, 0]] == ["cut", "dent", "cut", "good"]
    alone = fill(named_layout("methods", {}), long_frame(runs[:2]))
    assert draw_shared_maps(alone) == []
