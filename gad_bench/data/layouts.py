"""The layouts of public data sets: MVTec's, plain folders, and masks that are the labels.

MVTec AD and every data set that is laid out as it is, or nearly so (Bergmann, Fauser, Sattlegger
and Steger, CVPR 2019). A mask may also be named as its image is, or be a folder of that name with
several masks (MVTec LOCO AD):

    <root>/<category>/train/good/*.png
    <root>/<category>/test/good/*.png
    <root>/<category>/test/<defect>/*.png
    <root>/<category>/ground_truth/<defect>/<stem>_mask.png

Data sets whose masks alone say which images are defective (Kolektor SDD2, DAGM 2007). An image
whose mask is missing or black is good; defective images of the training part are left out, as
one-class methods leave them out. Files whose name is no number are passed over: the archive of
Kolektor SDD2 holds a stray `10301 (copy).png` and `10301_GT (copy).png`:

    <category>/<train>/<number>.png
    <category>/<train>/<masks>/<number><mask_suffix>.png
    <category>/<test>/...
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.data.catalog import GOOD, ImageRow, Subset
from gad_bench.data.category_folders import CategoryFolders
from gad_bench.data.folders import list_folders, list_images, require_images
from gad_bench.data.images import is_black

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
        """Yield the images of a category's folder.

        Raises:
            UserError: the folder lacks what the data set has.
        """
        rows = list(mvtec_rows(folder, category, self.good, self.test, self.masks, self.validation))
        if not any(row.split == "test" for row in rows):
            raise UserError(
                f"{folder / self.test} must hold {self.good}/ and a folder for each kind of defect"
            )
        if self.validation:
            require_images(folder / self.validation / self.good)
        yield from rows


def mvtec_rows(
    folder: Path,
    category: str,
    good: str = GOOD,
    test: str = "test",
    masks: str = MASKS,
    validation: str | None = "validation",
) -> Iterator[ImageRow]:
    """Yield the images of one category's folder in MVTec layout, validation and test if there.

    Raises:
        UserError: the training folder holds no images.
    """
    for image in require_images(folder / "train" / good):
        yield ImageRow(str(image), category, "train", 0, GOOD, "")
    for image in list_images(folder / validation / good) if validation else ():
        yield ImageRow(str(image), category, "validation", 0, GOOD, "")
    for defect in [found for found in list_folders(folder / test) if found != folder / masks]:
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


@dataclass(frozen=True, kw_only=True)
class PlainFolders:
    """Where the images of a category are, and how the good ones are split.

    Attributes:
        good: the folder of good images, within the category's.
        bad: the folder of anomalous images of each kind of defect.
        mask: the name of an image's mask, beside it in its folder; "*" is the image's stem. Such
            files are no images themselves. Null where there are none.
        test_share: share of the good images, drawn at random, that is held for the test.
        seed: of the draw.
    """

    good: str
    bad: dict[str, str]
    mask: str | None
    test_share: float
    seed: int

    def rows(self, folder: Path, category: str) -> Iterator[ImageRow]:
        """Yield the images of a category.

        Raises:
            UserError: a folder is missing or empty, or the share leaves training or test without
                any.
        """
        images = self._images(folder / self.good)
        held = _draw(len(images), self.test_share, self.seed)
        for number, image in enumerate(images):
            split: Subset = "test" if number in held else "train"
            yield ImageRow(str(image), category, split, 0, GOOD, "")
        for defect, name in self.bad.items():
            for image in self._images(folder / name):
                yield ImageRow(str(image), category, "test", 1, defect, self._mask(image))

    def _images(self, folder: Path) -> list[Path]:
        found = require_images(folder)
        return [path for path in found if not (self.mask and fnmatch(path.name, self.mask))]

    def _mask(self, image: Path) -> str:
        if not self.mask:
            return ""
        mask = image.with_name(self.mask.replace("*", image.stem))
        return str(mask) if mask.is_file() else ""


@dataclass(frozen=True, kw_only=True)
class GoodBad(PlainFolders, CategoryFolders):
    """A data set of known categories in plain folders."""


def _draw(count: int, share: float, seed: int) -> set[int]:
    wanted = round(share * count)
    if not 0 < wanted < count:
        raise UserError(
            f"dataset.test_share={share} holds {wanted} of {count} good images for the test: "
            "both training and test need some"
        )
    return set(np.random.default_rng(seed).permutation(count)[:wanted].tolist())


DEFECT = "defect"


@dataclass(frozen=True, kw_only=True)
class MaskLabelled(CategoryFolders):
    """A data set of known categories whose masks tell good images from defective ones.

    Attributes:
        train: the folder of training images, within a category's.
        test: the folder of test images.
        masks: the folder of masks within either; "." is the folder itself.
        mask_suffix: what follows an image's stem in its mask's.
    """

    train: str
    test: str
    masks: str
    mask_suffix: str

    def rows(self, folder: Path, category: str) -> Iterator[ImageRow]:
        """Yield the good training images and all test images of a category."""
        for image, mask in self._labelled(folder / self.train):
            if not mask:
                yield ImageRow(str(image), category, "train", 0, GOOD, "")
        for image, mask in self._labelled(folder / self.test):
            label, defect = (1, DEFECT) if mask else (0, GOOD)
            yield ImageRow(str(image), category, "test", label, defect, mask)

    def _labelled(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """Yield each image with its mask, or "" where that is missing or black."""
        masks = {path.stem: path for path in list_images(folder / self.masks)}
        images = [path for path in require_images(folder) if path.stem.isdigit()]
        named = [masks.get(image.stem + self.mask_suffix) for image in images]
        with ThreadPoolExecutor() as threads:
            good = threads.map(lambda mask: mask is None or is_black(mask), named)
            for image, mask, is_good in zip(images, named, good, strict=True):
                yield image, "" if is_good else str(mask)
