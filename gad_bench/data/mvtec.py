"""MVTec AD and every data set that is laid out as it is, or nearly so.

    <root>/<category>/train/good/*.png
    <root>/<category>/test/good/*.png
    <root>/<category>/test/<defect>/*.png
    <root>/<category>/ground_truth/<defect>/<stem>_mask.png

Images and masks may be of any format that `images` reads; a mask may also be named as its image is,
or be a folder of that name with several masks (MVTec LOCO AD).
Source of the layout: Bergmann, Fauser, Sattlegger and Steger, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gad_bench.data.catalog import GOOD, ImageRow
from gad_bench.data.category_folders import CategoryFolders
from gad_bench.data.folders import list_folders, list_images, require_images
from gad_bench.errors import UserError

MASKS = "ground_truth"


@dataclass(frozen=True, kw_only=True)
class MVTecLayout(CategoryFolders):
    """A data set of known categories in MVTec layout.

    Attributes:
        good: the folder of good images in training, validation and test.
        validation: the folder of images that are never fitted, or null where there is none.
        test: the folder of the good images' folder and one for each kind of defect.
        masks: the folder of a folder of masks for each kind of defect.
    """

    good: str
    validation: str | None
    test: str
    masks: str

    def rows(self, folder: Path, category: str) -> Iterator[ImageRow]:
        """Yield the images of a category's folder."""
        yield from mvtec_rows(folder, category, good=self.good, test=self.test, masks=self.masks)
        if self.validation:
            for image in require_images(folder / self.validation / self.good):
                yield ImageRow(str(image), category, "validation", 0, GOOD, "")


def mvtec_rows(
    folder: Path, category: str, *, good: str = GOOD, test: str = "test", masks: str = MASKS
) -> Iterator[ImageRow]:
    """Yield the training and test images of one category's folder in MVTec layout.

    Raises:
        UserError: the training folder holds no images, or there is no test folder.
    """
    for image in require_images(folder / "train" / good):
        yield ImageRow(str(image), category, "train", 0, GOOD, "")
    defects = [found for found in list_folders(folder / test) if found != folder / masks]
    if not defects:
        raise UserError(f"{folder / test} must hold {good}/ and a folder for each kind of defect")
    for defect in defects:
        images = list_images(defect)
        if defect.name == good:
            yield from (ImageRow(str(image), category, "test", 0, GOOD, "") for image in images)
        else:
            named = _masks(folder / masks / defect.name, images)
            for image in images:
                yield ImageRow(str(image), category, "test", 1, defect.name, named[image])


def _masks(folder: Path, images: list[Path]) -> dict[Path, str]:
    """Return each image's mask, or "" where it has none."""
    masks = {path.stem: str(path) for path in list_images(folder)}
    masks |= {path.name: str(path) for path in list_folders(folder)}
    named = {image: masks.get(f"{image.stem}_mask", masks.get(image.stem, "")) for image in images}
    if masks and not any(named.values()):
        raise UserError(
            f"no mask in {folder} belongs to an image: name them STEM_mask.png or STEM.png"
        )
    return named
