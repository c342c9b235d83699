from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from program import Program
from saved import DEMO, SMALL, Saved

from gad_bench import Detector
from gad_bench.base.errors import UserError
from gad_bench.deploy.format import ARRAYS, CONFIG, FACTS, SUMS

SETTINGS = [
    ["combination=standardised_mean", "reduction=npca", "reduction.threshold=0.5"],
    ["combination=concatenated", "normalisation=l2"],
    ["combination=sum_of_squares", "covariance=ledoit_wolf_nonlinear"],
    ["combination=maximum", "covariance=diagonal"],
    ["detector=knn"],
    ["detector=one_class_svm", "reduction=random_projection", "reduction.dimensions=5"],
]


@pytest.fixture
def copy(saved: Saved, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved.folder, tmp_path / "copy"))


def test_a_loaded_detector_scores_as_its_run_did(saved: Saved) -> None:
    found = Detector.load(saved.folder).predict(saved.paths)
    np.testing.assert_allclose(found.scores, saved.scores["score"], rtol=1e-9)
    for block, values in found.blocks.items():
        np.testing.assert_allclose(values, saved.scores[f"block_{block}"], rtol=1e-9)
    assert found.p_values is not None
    np.testing.assert_allclose(found.p_values, saved.scores["p_value"])


@pytest.mark.parametrize("overrides", SETTINGS, ids=" ".join)
def test_whatever_the_settings(program: Program, overrides: list[str]) -> None:
    run = [*DEMO, *SMALL, "tracking=none", "figures=false", "fold=full", "save=it"]
    scores = program(*run, *overrides).scores
    found = Detector.load("it").predict(list(scores["path"]))
    np.testing.assert_allclose(found.scores, scores["score"], rtol=1e-9)


def test_what_lies_beyond_the_conformal_threshold_has_a_low_p_value(saved: Saved) -> None:
    detector = Detector.load(saved.folder)
    found = detector.predict(saved.paths)
    assert detector.scorer.rule.method == "conformal"
    assert found.anomalous is not None
    assert found.p_values is not None
    np.testing.assert_array_equal(found.anomalous, found.p_values <= 0.1)


def test_a_threshold_of_ones_own(saved: Saved) -> None:
    found = Detector.load(saved.folder).predict(saved.paths, threshold=0.0)
    assert found.anomalous is not None
    assert found.anomalous.all()


def test_a_path_its_content_and_its_pixels_are_the_same_image(saved: Saved) -> None:
    path = saved.paths[0]
    pixels = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    detector = Detector.load(saved.folder)
    several = path, Path(path).read_bytes(), pixels
    assert len({detector.predict(one).scores[0] for one in several}) == 1


def test_one_image_and_none(saved: Saved) -> None:
    detector = Detector.load(saved.folder)
    assert detector.predict(saved.paths[0]).scores.shape == (1,)
    assert len(detector.predict([]).table()) == 0


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3)])
def test_an_array_that_is_no_image_is_refused(saved: Saved, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="not uint8"):
        Detector.load(saved.folder).predict([np.zeros(shape, np.uint8)])


def test_an_unreadable_image_is_named(saved: Saved, tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    detector = Detector.load(saved.folder)
    with pytest.raises(UserError, match="empty"):
        detector.predict([saved.paths[0], empty])
    found = detector.predict([empty, saved.paths[0]], skip_unreadable=True)
    assert list(found.unreadable) == [str(empty)]
    assert found.images == [saved.paths[0]]
    assert found.scores == pytest.approx(saved.scores["score"][:1])


@pytest.mark.parametrize("name", [FACTS, ARRAYS, CONFIG])
def test_a_damaged_file_is_noticed(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        Detector.load(copy)


@pytest.mark.parametrize("name", [FACTS, ARRAYS, CONFIG, SUMS])
def test_a_missing_file_is_noticed(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(UserError, match=r"damaged|holds no detector"):
        Detector.load(copy)


def test_other_features_than_those_fitted_are_refused(copy: Path) -> None:
    facts = json.loads((copy / FACTS).read_text())
    facts["features"]["backbone"]["wavelength"] = 5.0
    (copy / FACTS).write_text(json.dumps(facts))
    (copy / SUMS).write_text(_sums(copy))
    with pytest.raises(UserError, match=r"fitted with wavelength=5\.0, and here it is 4\.0"):
        Detector.load(copy)


def test_weights_for_a_backbone_that_has_none_are_refused(saved: Saved) -> None:
    with pytest.raises(UserError, match="has no weights"):
        Detector.load(saved.folder, weights="some.pth")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["fold=cross"], "fold=cross fits 5"),
        (["detector=isolation_forest"], "isolation_forest cannot be saved"),
        (["resume=true", "tracking=mlflow"], "exclude one another"),
        (["save=."], "exists already"),
    ],
)
def test_what_cannot_be_saved_is_refused_beforehand(
    program: Program, overrides: list[str], message: str
) -> None:
    outcome = program(*DEMO, "tracking=none", "save=it", "fold=full", *overrides)
    assert outcome.status == 2
    assert message in outcome.errors
    assert not outcome.runs
    assert not Path("it").exists()


def test_weights_move_with_the_folder_and_others_are_refused(
    program: Program, assets: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "mobilenet.pth"
    shutil.copyfile(assets / "weights" / "mobilenetv2_100.pth", weights)
    run = ["backbone=timm", "backbone.name=mobilenetv2_100", f"backbone.weights={weights}"]
    run += ["backbone.input_size=64", "blocks.indices=[0,1]", *DEMO[1:]]
    run += ["dataset=demo", "category=wood", "tracking=none", "figures=false", "fold=full"]
    scores = program(*run, "save=it").scores
    weights.rename(Path("it") / "weights.pth")
    found = Detector.load("it").predict(list(scores["path"]))
    np.testing.assert_allclose(found.scores, scores["score"], rtol=1e-9)

    import torch

    other = torch.load(Path("it") / "weights.pth", weights_only=True)
    torch.save(other | {"conv_stem.weight": other["conv_stem.weight"] + 1}, "other.pth")
    with pytest.raises(UserError, match="fitted with weights="):
        Detector.load("it", weights="other.pth")
    (Path("it") / "weights.pth").unlink()
    with pytest.raises(UserError, match="there is no such file"):
        Detector.load("it")


def test_importing_the_package_imports_nothing_heavy(saved: Saved) -> None:
    code = "import sys, gad_bench; print({'numpy', 'pandas', 'torch', 'cv2'} & set(sys.modules))"
    assert saved.process(["-c", code]).stdout.strip() == "set()"


def _sums(folder: Path) -> str:
    import hashlib

    names = (FACTS, ARRAYS, CONFIG)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())
