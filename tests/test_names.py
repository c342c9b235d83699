"""Files and defects may be named as their owner likes."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from program import Program

from gad_bench.figures.names import pillow_font

NAMES = [b"$x^$", "ひび割れ".encode(), b"caf\xe9", b'a,b"c', b"=1+1", b"%s {0}"]


@pytest.fixture
def goods(tmp_path: Path) -> Path:
    """A category whose defects, and their images, have names that trip programs up."""
    folder = tmp_path / "goods" / "bolt"
    generator = np.random.default_rng(0)
    names = [os.fsdecode(name) for name in NAMES]
    places = {"train/good": 10, "test/good": 4} | {f"test/{name}": 2 for name in names}
    for place, count in places.items():
        inside = folder / place
        inside.mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 255, (40, 40, 3), np.uint8)
            content = cv2.imencode(".png", pixels)[1].tobytes()
            (inside / f"{inside.name}{number}.png").write_bytes(content)
    return folder


def test_a_run_on_images_of_any_name_ends_well(program: Program, goods: Path) -> None:
    outcome = program(
        "dataset=folder",
        f"dataset.root={goods}",
        "backbone=filterbank",
        "covariance=identity",
        "explanation=components",
        "localisation=mahalanobis",
    )
    assert outcome.status == 0, outcome.errors
    assert "Glyph" not in outcome.errors
    assert set(outcome.scores["defect"]) >= {"$x^$", "ひび割れ", "caf\\udce9", "=1+1"}
    figures = {path.name for path in outcome.runs[-1].glob("*.png")}
    assert {"contact_sheet.png", "explanation.png", "localisation.png"} <= figures


def test_a_font_is_opened_once_for_all_names() -> None:
    assert pillow_font(11, "oas · bolt") is pillow_font(11, "oas · nut")
