"""The archive that MVTec AD 2's server takes: heat maps and masks of its private test images.

    anomaly_images/<category>/<part>/<image>.tiff               float16, of the image's size
    anomaly_images_thresholded/<category>/<part>/<image>.png    0 or 255, of the image's size

The layout is that of MVTec's own public tools for the data set (Heckler-Kram and others 2025).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import whole_file
from gad_bench.data.folders import list_images
from gad_bench.data.images import image_shape
from gad_bench.deploy.detector import SavedDetector
from gad_bench.evaluation.segmentation import good_threshold
from gad_bench.patches.heat_maps import Map

PARTS = ("test_private", "test_private_mixed")
MAPS, MASKS = "anomaly_images", "anomaly_images_thresholded"
GOOD = "validation/good"
LARGEST = float(np.finfo(np.float16).max)
AT_ONCE = 16  # images whose maps are found at once
COMPRESSION = 3  # of 9: maps are large, and smooth

Shape = tuple[int, int]


class Mapped(NamedTuple):
    """An image that is to be in the archive."""

    category: str
    part: str
    file: Path

    @property
    def map_name(self) -> str:
        """Its heat map's name in the archive."""
        return str(PurePosixPath(MAPS, self.category, self.part, f"{self.file.stem}.tiff"))

    @property
    def mask_name(self) -> str:
        """Its mask's name there."""
        return str(PurePosixPath(MASKS, self.category, self.part, f"{self.file.stem}.png"))


def private_images(root: Path, categories: Sequence[str]) -> list[Mapped]:
    """Return the images that the archive is about.

    Raises:
        UserError: a folder is missing or empty, or two images would have one name.
    """
    found = [
        Mapped(category, part, image)
        for category in categories
        for part in PARTS
        for image in _images(root / category / part)
    ]
    names = [image.map_name for image in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{root}: two images would both be {twice} in the archive")
    return found


def write_submission(
    detectors: Mapping[str, SavedDetector], root: Path, output: Path, deviations: float
) -> dict[str, float]:
    """Write the archive, whole or not at all.

    Args:
        detectors: by category; each gives heat maps.
        root: the data set's folder.
        output: the file, .tar.gz.
        deviations: a pixel is anomalous from the mean of the good validation images' pixels and so
            many of their standard deviations on.

    Returns:
        The threshold of each category.

    Raises:
        UserError: an image is missing or cannot be read, a detector gives no heat maps or some
            beyond float16, or the package that writes float16 is not installed.
    """
    if find_spec("tifffile") is None:
        raise UserError("float16 TIFFs need tifffile: pip install 'gad-bench[submit]'")
    images = private_images(root, list(detectors))
    thresholds = {
        category: good_threshold(
            (heat for _, heat in _maps(detector, _images(root / category / GOOD))), deviations
        )
        for category, detector in detectors.items()
    }
    with (
        whole_file(output) as draft,
        tarfile.open(draft, "w:gz", compresslevel=COMPRESSION) as archive,
    ):
        for category, detector in detectors.items():
            own = {image.file: image for image in images if image.category == category}
            for file, heat in _maps(detector, list(own)):
                _add(archive, own[file].map_name, _tiff(heat, file))
                _add(archive, own[file].mask_name, _png(heat >= thresholds[category]))
    return thresholds


def check_submission(archive: Path, images: Sequence[Mapped]) -> None:
    """Read an archive back and hold it against the images.

    Raises:
        UserError: a file is missing, is there beside those that should be, or is not what the
            server takes.
    """
    missing = {name: image.file for image in images for name in (image.map_name, image.mask_name)}
    with tarfile.open(archive, "r:gz") as content:
        for member in content:
            file = missing.pop(member.name, None)
            opened = content.extractfile(member)
            if file is None or opened is None:
                raise UserError(f"{archive} holds {member.name}, which belongs to no image")
            is_right = _is_map if member.name.startswith(f"{MAPS}/") else _is_mask
            if not is_right(opened.read(), image_shape(file)):
                raise UserError(f"{archive}: {member.name} is not what the server takes")
    if missing:
        raise UserError(f"{archive} lacks {next(iter(missing))}, and {len(missing)} files in all")


def _is_map(content: bytes, shape: Shape) -> bool:
    import tifffile

    values = tifffile.imread(io.BytesIO(content))
    is_finite = bool(np.isfinite(values).all())
    return values.dtype == np.float16 and values.shape == shape and is_finite


def _is_mask(content: bytes, shape: Shape) -> bool:
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint8 or values.shape != shape:
        return False
    return set(np.unique(values).tolist()) <= {0, 255}


def _images(folder: Path) -> list[Path]:
    images = list_images(folder) if folder.is_dir() else []
    if not images:
        raise UserError(f"{folder} holds no images: name the data set's folder by root=PATH")
    return images


def _maps(detector: SavedDetector, files: Sequence[Path]) -> Iterator[tuple[Path, Map]]:
    """Yield each image's heat map at the image's size.

    Raises:
        UserError: the detector gives none.
    """
    for some in (files[start : start + AT_ONCE] for start in range(0, len(files), AT_ONCE)):
        heat = detector.predict(list(some)).heat_maps
        if heat is None:
            raise UserError(
                f"the detector of {detector.about['category']} gives no heat maps: fit one on "
                "patches, such as detector=patchcore, or with localisation=mahalanobis"
            )
        for row, file in enumerate(some):
            yield file, heat.at_size(row, *image_shape(file))


def _tiff(heat: Map, file: Path) -> bytes:
    import tifffile

    if not np.abs(heat).max() <= LARGEST:
        raise UserError(f"{file}: its heat map is beyond float16: choose another covariance")
    content = io.BytesIO()
    tifffile.imwrite(content, heat.astype(np.float16))
    return content.getvalue()


def _png(mask: NDArray[np.bool_]) -> bytes:
    _, content = cv2.imencode(".png", 255 * mask.astype(np.uint8))
    return content.tobytes()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))
