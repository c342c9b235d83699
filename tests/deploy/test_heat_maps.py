"""A saved detector's heat maps against those of its run."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from program import Program
from saved import DEMO
from sklearn.metrics import roc_auc_score

from gad_bench import Detector

RUN = [
    *(*DEMO, "backbone.input_size=64", "backbone.octaves=3"),
    *("fold=full", "figures=false", "tracking=none", "save=it"),
]
WAYS = [
    ["localisation=mahalanobis", "localisation.grid=16", "localisation.blocks=[1,2]"],
    ["localisation=padim", "localisation.grid=8", "localisation.dimensions=10"],
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[0])
def test_a_loaded_detector_maps_as_its_run_did(program: Program, way: list[str]) -> None:
    outcome = program(*RUN, *way)
    scores = outcome.scores
    detector = Detector.load("it")
    assert repr(detector).startswith("<Detector of wood, filterbank: for 5 % false alarms")
    assert len(repr(detector)) < 300
    found = detector.predict(list(scores["path"]))
    assert found.heat_maps is not None
    assert [heat.max() for heat in found.heat_maps] == list(found.heat_maps.maxima())
    auroc = roc_auc_score(scores["label"], found.heat_maps.maxima())
    assert auroc == pytest.approx(outcome.metrics["auroc_heat_maximum"])
    first = scores["path"].iloc[0]
    height, width = cv2.imread(first).shape[:2]
    assert found.heat_maps.at_size(0, height, width).shape == (height, width)


def test_maps_are_left_out_where_nobody_asks_and_of_what_cannot_be_read(program: Program) -> None:
    first = program(*RUN, *WAYS[0]).scores["path"].iloc[0]
    detector = Detector.load("it")
    assert detector.predict([first], heat_maps=False).heat_maps is None
    Path("bad.png").write_bytes(b"no image")
    maps = detector.predict(["bad.png", first], skip_unreadable=True).heat_maps
    alone = detector.predict([first]).heat_maps
    assert maps is not None
    assert alone is not None
    np.testing.assert_array_equal(maps.grids, alone.grids)


def test_the_command_writes_a_picture_per_image(program: Program) -> None:
    from gad_bench.predict import main

    scores = program(*RUN, *WAYS[0]).scores
    Path("new").mkdir()
    for name, path in zip("ab", scores["path"], strict=False):
        shutil.copyfile(path, f"new/{name}.png")
    assert main(["detector=it", "images=new"]) == 0
    names = [path.name for path in sorted(Path("predictions/heat_maps").iterdir())]
    assert names == ["0000_a.png", "0001_b.png"]
