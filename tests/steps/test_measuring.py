"""Which figures a run's heat maps get, each as its own module has it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from gad_bench.base.errors import UserError
from gad_bench.data.saturation import saturated_masks
from gad_bench.evaluation.definitions import Definitions
from gad_bench.evaluation.per_image_overlap import per_image_overlap
from gad_bench.evaluation.pixels import pixel_metrics
from gad_bench.evaluation.saturated_overlap import Defect, saturated_overlap
from gad_bench.evaluation.segmentation import good_threshold, segmentation_f1
from gad_bench.patches.heat_maps import HeatMaps
from gad_bench.patches.truth import MaskedMaps
from gad_bench.steps.measuring import measure_maps

SIDE = 24
ENTRIES = [
    {"pixel_value": 255, "saturation_threshold": 9, "relative_saturation": False},
    {"pixel_value": 254, "saturation_threshold": 0.5, "relative_saturation": True},
]


def heat(count: int, seed: int) -> HeatMaps:
    grids = np.random.default_rng(seed).random((count, 6, 6)).astype(np.float32)
    return HeatMaps(grids=grids, input_size=SIDE, sigma=1.0)


@pytest.fixture
def tested(tmp_path: Path) -> pd.DataFrame:
    """Two good images, and two with two defects each, as MVTec LOCO AD has them."""
    (tmp_path / "defects_config.json").write_text(json.dumps(ENTRIES))
    rows = []
    for number in range(4):
        path, masks = tmp_path / f"{number}.png", tmp_path / "ground_truth" / "odd" / str(number)
        cv2.imwrite(str(path), np.zeros((SIDE, SIDE, 3), np.uint8))
        if number > 1:
            masks.mkdir(parents=True)
            for place, entry in enumerate(ENTRIES):
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[3 + place : 9, 2 + 10 * place : 8 + 10 * place] = entry["pixel_value"]
                cv2.imwrite(str(masks / f"{place:03d}.png"), mask)
        rows.append((str(path), int(number > 1), str(masks) if number > 1 else ""))
    return pd.DataFrame(rows, columns=["path", "label", "mask"])


def test_every_figure_of_the_field_is_measured(tested: pd.DataFrame) -> None:
    maps, held_out = MaskedMaps(heat(4, 0), tested), MaskedMaps(heat(2, 1), tested.iloc[:2])
    definitions = Definitions(aupro_limits=[0.3, 0.05, 0.5], deviations=0.5)
    found, _ = measure_maps(maps, held_out, definitions, seed=0)
    images = list(maps)
    plain = pixel_metrics(images, [0.3, 0.05, 0.5])
    assert {"aupro", "aupro_0.05", "aupro_0.5", "pixel_f1"} <= plain.keys()
    assert {key: found[key] for key in plain} == pytest.approx(plain)
    assert found["aupimo"] == pytest.approx(per_image_overlap(images).mean())
    threshold = good_threshold([own for own, _ in held_out], 0.5)
    assert found["seg_f1_threshold"] == pytest.approx(threshold)
    assert found["seg_f1"] == pytest.approx(segmentation_f1(images, threshold))
    assert found["seg_f1"] > 0
    first, second = np.zeros((2, SIDE, SIDE), bool)
    first[3:9, 2:8], second[4:9, 12:18] = True, True
    defects = [Defect(first, 9), Defect(second, 15)]  # half of 30 pixels
    whole = [(own, defects if mask.any() else []) for own, mask in images]
    expected = saturated_overlap(whole, [0.3, 0.05, 0.5])
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert found["spro"] != pytest.approx(found["aupro"])


def test_what_is_not_known_is_not_measured(tested: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "defects_config.json").unlink()
    found, _ = measure_maps(MaskedMaps(heat(4, 0), tested), None, Definitions(), seed=0)
    assert {"aupro", "aupro_0.05", "aupimo"} <= found.keys()
    assert not {"spro", "seg_f1"} & found.keys()
    assert measure_maps(MaskedMaps(heat(2, 0), tested.iloc[:2]), None, Definitions(), seed=0) == (
        {},
        {},
    )


def test_a_defect_that_is_not_told_of_is_refused(tested: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "defects_config.json").write_text(json.dumps(ENTRIES[:1]))
    with pytest.raises(UserError, match=r"001.png: no entry of .* has the pixel_value 254"):
        saturated_masks(tested["mask"].iloc[2], (SIDE, SIDE))
    with pytest.raises(UserError, match=r"limit of the false positive rate must lie in \(0, 1\]"):
        Definitions(aupro_limits=[0.0])
