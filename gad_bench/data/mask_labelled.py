"""Data sets whose masks alone say which images are defective: Kolektor SDD2, DAGM 2007.

    <category>/<train>/<number>.png
    <category>/<train>/<masks>/<number><mask_suffix>.png
    <category>/<test>/...

An image whose mask is missing or black is good. Defective images of the training part are left
out, as one-class methods leave them out. Files whose name is no number are passed over: the
archive of Kolektor SDD2 holds a stray `10301 (copy).png` and `10301_GT (copy).png`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gad_bench.data.catalog import GOOD, ImageRow
from gad_bench.data.category_folders import CategoryFolders
from gad_bench.data.folders import list_images, require_images
from gad_bench.data.images import is_black

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
