"""The archive for MVTec AD 2's server, read by other means than those that wrote it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from saved import Saved

from gad_bench import Detector
from gad_bench.base.errors import UserError

tifffile = pytest.importorskip("tifffile", reason="the extra gad-bench[submit]")

SHAPES = {"test_private": (40, 64), "test_private_mixed": (50, 30)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("submission")
    network = ("backbone.input_size=64", "backbone.octaves=2", "blocks.indices=[1]")
    patches = ("detector=patch_gaussian", "fold=full", "tracking=none", "runtime=torch")
    return Saved(folder, folder / "cache", *network, *patches)


@pytest.fixture
def root(saved: Saved, tmp_path: Path) -> Path:
    """A data set of the detector's category alone, in MVTec AD 2's layout."""
    category = Detector.load(saved.folder).about["category"]
    images = iter(saved.paths)
    for part, shape in (("validation/good", (48, 48)), *SHAPES.items()):
        folder = tmp_path / category / part
        folder.mkdir(parents=True)
        for number in range(3):
            image = cv2.resize(cv2.imread(next(images)), shape[::-1])
            cv2.imwrite(str(folder / f"{number:03d}_regular.png"), image)
    return tmp_path


def submit(saved: Saved, root: Path, *more: str, status: int = 0) -> tuple[str, str]:
    asked = {"detectors": "detector*", "root": str(root), "output": "archive.tar.gz"}
    asked |= {"deviations": "2"} | dict(one.split("=", 1) for one in more)
    arguments = [f"{key}={value}" for key, value in asked.items()]
    return saved.command("gad_bench.submit", *arguments, status=status)


def category_of(root: Path) -> str:
    (category,) = (path.name for path in root.iterdir() if (path / "validation").is_dir())
    return category


def test_an_archive_holds_every_private_image_as_the_server_takes_it(
    saved: Saved, root: Path
) -> None:
    printed, _ = submit(saved, root)
    assert "6 images of 1 categories, read back and checked" in printed
    category, detector = category_of(root), Detector.load(saved.folder)
    good = sorted(map(str, (root / category / "validation/good").iterdir()))
    maps = detector.predict(good).heat_maps
    assert maps is not None
    pixels = np.stack([maps.at_size(row, 48, 48) for row in range(3)]).astype(np.float64)
    threshold = pixels.mean() + 2 * pixels.std()
    content: dict[str, bytes] = {}
    with tarfile.open(saved.work / "archive.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            content[member.name] = file.read()
    assert set(content) == {
        f"{kind}/{category}/{part}/{number:03d}_regular{suffix}"
        for kind, suffix in (("anomaly_images", ".tiff"), ("anomaly_images_thresholded", ".png"))
        for part in SHAPES
        for number in range(3)
    }
    defective = 0
    for part, shape in SHAPES.items():
        found = detector.predict(sorted(map(str, (root / category / part).iterdir()))).heat_maps
        assert found is not None
        for number in range(3):
            name = f"{category}/{part}/{number:03d}_regular"
            heat = found.at_size(number, *shape)
            written = tifffile.imread(io.BytesIO(content[f"anomaly_images/{name}.tiff"]))
            assert written.dtype == np.float16
            np.testing.assert_array_equal(written, heat.astype(np.float16))
            encoded = np.frombuffer(content[f"anomaly_images_thresholded/{name}.png"], np.uint8)
            mask = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(mask, np.where(heat >= threshold, 255, 0))
            defective += int(mask.any())
    assert defective


def test_what_is_missing_is_told_in_a_line(saved: Saved, root: Path) -> None:
    (root / "walnuts" / "test_private").mkdir(parents=True)
    _, errors = submit(saved, root, status=2)
    assert "no detector of walnuts: fit and save one, or say partial=true" in errors
    for image in (root / category_of(root) / "test_private_mixed").iterdir():
        image.unlink()
    _, errors = submit(saved, root, "partial=true", status=2)
    assert "test_private_mixed holds no images" in errors
    for asked, told in (("detectors=none*", "matches no folder"), ("output=x.zip", "must end in")):
        _, errors = submit(saved, root, asked, status=2)
        assert told in errors


FAULTS = ["missing", "beside", "float32", "grey"]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_archive_that_is_not_right_is_refused(root: Path, tmp_path: Path, fault: str) -> None:
    from gad_bench.deploy.submission import check_submission, private_images

    images = private_images(root, [category_of(root)])
    content = {}
    for image in images:
        shape = SHAPES[image.part]
        content[image.map_name] = as_tiff(np.zeros(shape, np.float16))
        content[image.mask_name] = as_png(np.zeros(shape, np.uint8))
    archive = tmp_path / "archive.tar.gz"
    write(archive, content)
    check_submission(archive, images)
    first = images[0]
    changes = {
        "missing": {first.map_name: b""},
        "beside": {"anomaly_images/readme.txt": b"text"},
        "float32": {first.map_name: as_tiff(np.zeros(SHAPES[first.part], np.float32))},
        "grey": {first.mask_name: as_png(np.full(SHAPES[first.part], 7, np.uint8))},
    }
    write(archive, content | changes[fault])
    with pytest.raises(UserError, match=r"lacks|belongs to no image|not what the server takes"):
        check_submission(archive, images)


def write(archive: Path, content: dict[str, bytes]) -> None:
    with tarfile.open(archive, "w:gz") as file:
        for name, own in content.items():
            if own:
                entry = tarfile.TarInfo(name)
                entry.size = len(own)
                file.addfile(entry, io.BytesIO(own))


def as_tiff(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    tifffile.imwrite(content, values)
    return content.getvalue()


def as_png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()
