"""Exported graphs of detectors on patches: scores and heat maps are the detector's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from saved import Saved

from gad_bench import Detector
from gad_bench.base.errors import UserError
from gad_bench.config import build, compose_config
from gad_bench.deploy import exporting
from gad_bench.deploy.exporting import run_graph, write_onnx, write_openvino
from gad_bench.features.extraction import extract, read_input
from gad_bench.features.interface import Backbone
from gad_bench.features.maps import maps_work
from gad_bench.features.tiles import TiledBackbone
from gad_bench.features.timm_backbone import TimmBackbone
from gad_bench.patches import BatchedMaps
from gad_bench.patches.heat_maps import HeatMaps, enlarging
from gad_bench.patches.position_gaussian import PositionGaussians

torch = pytest.importorskip("torch")

Pixels = NDArray[np.uint8]

DETECTORS = [
    ["padim", "detector.grid=8", "maps.precision=float16"],
    ["patch_gaussian", "reduction=pca", "image_score=map_statistics"],
    ["patchcore", "detector.share=0.3"],
    ["patchcore", "detector.share=0.3", "detector.neighbours=3", "detector.reweighting=1"],
    ["patch_knn"],
    ["patch_whitened_knn", "normalisation=l2", "covariance=diagonal"],
    ["patch_subspace", "detector.grid=12"],
    ["dfm"],
    ["dfm", "detector.score=likelihood", "detector.sigma=0"],
]


@dataclass(frozen=True)
class Images:
    """What detectors are fitted on and asked about, as their backbone takes it."""

    saved: Detector
    train: Pixels
    tested: Pixels

    def fitted(self, name: str, *choices: str) -> Detector:
        """A detector of the config's, in the place of the saved one's model."""
        config = compose_config([f"detector={name}", "detector.blocks=[1,2]", *choices])
        readers = [lambda own=own: own for own in self.train]
        batches = extract(readers, maps_work(self.saved.encoder, [1, 2]))
        maps = {b: np.concatenate(own) for b, *own in zip((1, 2), *batches, strict=True)}
        model = build(config.detector).fit(BatchedMaps(maps=maps))
        precision = config.maps.precision
        return replace(
            self.saved, scorer=replace(self.saved.scorer, model=model, precision=precision)
        )


@pytest.fixture(scope="module")
def images(saved: Saved) -> Images:
    """The demo's, by its filter bank at 64 pixels."""
    loaded = Detector.load(saved.folder)
    bank = replace(loaded.scorer.backbone, input_size=64, octaves=3, orientations=2)
    return shown(loaded, bank, saved.paths[:8], saved.paths[-3:])


@pytest.fixture(scope="module")
def real(saved: Saved, assets: Path) -> Images:
    """Toothbrushes, by ResNet-18 at 96 pixels."""
    backbone = TimmBackbone(
        name="resnet18",
        weights=str(assets / "weights" / "resnet18_layer3.pth"),
        input_size=96,
        taps=["maxpool", "layer1", "layer2"],
    )
    folder = assets / "images" / "toothbrush"
    good, bad = (
        sorted(folder.glob(f"{place}/*.png")) for place in ("train/good", "test/defective")
    )
    return shown(Detector.load(saved.folder), backbone, [*map(str, good[:6])], [*map(str, bad[:3])])


def shown(loaded: Detector, backbone: Backbone, train: list[str], tested: list[str]) -> Images:
    size = backbone.image_size()
    parts = (np.stack([read_input(path, size) for path in paths]) for paths in (train, tested))
    return Images(replace(loaded, scorer=replace(loaded.scorer, backbone=backbone)), *parts)


def assert_agrees(detector: Detector, file: Path, pixels: Pixels) -> None:
    expected, found = detector.predict(list(pixels)), run_graph(file, pixels)
    assert expected.heat_maps is not None
    np.testing.assert_allclose(found["score"], expected.scores, rtol=1e-4)
    size = pixels.shape[1:3]
    assert found["heat_map"].shape == (len(pixels), *size)
    for row, heat in enumerate(found["heat_map"]):
        own = expected.heat_maps.at_size(row, *size)
        np.testing.assert_allclose(heat, own, rtol=0, atol=1e-4 * np.abs(own).max())


@pytest.mark.parametrize("choices", DETECTORS, ids=" ".join)
def test_openvino_scores_and_maps_as_every_detector(
    images: Images, choices: list[str], tmp_path: Path
) -> None:
    detector = images.fitted(*choices)
    write_openvino(detector, tmp_path / "it.xml")
    assert_agrees(detector, tmp_path / "it.xml", images.tested)


@pytest.mark.parametrize("name", ["padim", "patchcore"])
@pytest.mark.parametrize("shape", [(64, 96), "tiles"], ids=str)
def test_so_it_does_where_the_input_is_no_square(
    saved: Saved, shape: tuple[int, int] | str, name: str, tmp_path: Path
) -> None:
    loaded = Detector.load(saved.folder)
    bank = replace(loaded.scorer.backbone, input_size=64, octaves=3, orientations=2)
    backbone: Backbone = TiledBackbone(backbone=bank, rows=1, columns=2, overlap=16)
    if not isinstance(shape, str):
        backbone = bank.resized(*shape)
    images = shown(loaded, backbone, saved.paths[:6], saved.paths[-2:])
    assert images.tested.shape[1] != images.tested.shape[2]
    detector = images.fitted(name)
    write_openvino(detector, tmp_path / "it.xml")
    assert_agrees(detector, tmp_path / "it.xml", images.tested)


@pytest.mark.parametrize("name", ["padim", "patchcore"])
def test_so_it_does_real_images(real: Images, name: str, tmp_path: Path) -> None:
    detector = real.fitted(name)
    write_openvino(detector, tmp_path / "it.xml")
    assert_agrees(detector, tmp_path / "it.xml", real.tested)


def test_onnx_takes_them_in_a_batch(real: Images, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="format=onnx needs the extra gad-bench[export]")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    detector = real.fitted("patchcore", "detector.share=1")
    write_onnx(detector, tmp_path / "it.onnx")
    assert_agrees(detector, tmp_path / "it.onnx", real.tested)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Banks in many parts, the last one shorter than the candidates that are wanted."""
    from gad_bench.deploy import patch_graph

    monkeypatch.setattr(patch_graph, "ENTRIES", 7)
    return


@pytest.mark.usefixtures("small_parts")
def test_a_bank_is_searched_part_by_part(images: Images, tmp_path: Path) -> None:
    detector = images.fitted("patchcore", "detector.share=0.05", "detector.neighbours=5")
    write_openvino(detector, tmp_path / "it.xml")
    assert_agrees(detector, tmp_path / "it.xml", images.tested)


@pytest.mark.parametrize(("size", "to", "sigma"), [(7, 64, 4.0), (16, 40, 0.0), (1, 9, 1.5)])
def test_a_heat_map_is_a_product_from_either_side(size: int, to: int, sigma: float) -> None:
    grid = np.random.default_rng(0).random((1, size, size), np.float32)
    expected = HeatMaps(grids=grid, input_size=to, sigma=sigma).at_size(0, to, to)
    matrix = enlarging(size, to, sigma)
    np.testing.assert_allclose(matrix @ grid[0] @ matrix.T, expected, rtol=1e-5)


class OfTheUsersOwn(PositionGaussians):
    """A scorer that has no graph."""


def test_what_has_no_graph_is_refused_in_one_line(images: Images, tmp_path: Path) -> None:
    fitted = images.fitted("padim", "detector.grid=4")
    model = fitted.scorer.model
    own = OfTheUsersOwn(**vars(model.scorer))
    other = replace(fitted, scorer=replace(fitted.scorer, model=replace(model, scorer=own)))
    with pytest.raises(UserError, match="OfTheUsersOwn cannot be exported: it has no graph"):
        write_openvino(other, tmp_path / "it.xml")


def test_what_exceeds_one_onnx_file_is_refused_in_one_line(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="format=onnx needs the extra gad-bench[export]")
    monkeypatch.setattr(exporting, "LARGEST_ONNX", 1000)
    with pytest.raises(UserError, match="one ONNX file at most 2: use format=openvino"):
        write_onnx(images.fitted("padim", "detector.grid=4"), tmp_path / "it.onnx")
    assert not list(tmp_path.iterdir())
