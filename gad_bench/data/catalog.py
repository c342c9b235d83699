"""The catalog: a table of one category's images, and what every data set offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast, get_args

import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gad_bench.base.errors import UserError
from gad_bench.base.files import open_regular
from gad_bench.data.images import mask_files, read_image, read_mask

GOOD = "good"

Subset = Literal["train", "validation", "test"]
SUBSETS = get_args(Subset)


class ImageRow(NamedTuple):
    """One image: a row of the catalog."""

    path: str  # absolute
    category: str
    split: Subset
    label: int  # 0 good, 1 anomalous
    defect: str  # the defect's name, or "good"
    mask: str  # absolute path of the defect's mask, or of a folder of them, or "" for none


@dataclass(frozen=True)
class CategoryFacts:
    """What holds for a category's images; the limits are what augmentation may do to a good one."""

    kind: str  # "texture" or "object"
    horizontal_flip: bool
    quarter_turns: bool  # rotation by 90, 180 and 270 degrees
    rotation_limit: float  # degrees
    shift_limit: float  # share of the side
    scale_limits: tuple[float, float]  # smallest and largest change of size, as a share
    smallest_defect: int | None  # pixels: the least, over the masks, of the largest connected area

    def __post_init__(self) -> None:
        if self.kind not in ("texture", "object"):
            raise UserError(f"kind must be texture or object, not {self.kind}")
        low, high = self.scale_limits
        if not -1 < low <= high:
            raise UserError(
                f"scale_limits must be [low, high] with -1 < low <= high, not {low}, {high}"
            )
        object.__setattr__(self, "scale_limits", (low, high))


class Dataset(Protocol):
    """A data set: named categories, each with a catalog of images and its facts."""

    @property
    def name(self) -> str:
        """The data set's name in reports and tags."""

    def category_names(self) -> list[str]:
        """Return the categories, in the data set's own order.

        Raises:
            UserError: the data set isn't where it should be.
        """

    def catalog(self, category: str) -> pd.DataFrame:
        """Return the category's images, as `make_catalog` makes the table.

        Raises:
            UserError: the category is unknown, or its images are missing or unfit.
        """

    def facts(self, category: str) -> CategoryFacts:
        """Return what is special about the category.

        Raises:
            UserError: the facts in the configuration are wrong.
        """


def make_catalog(rows: Iterable[ImageRow], source: str) -> pd.DataFrame:
    """Make the table of a category's images and check that it can be trained on.

    Without good or anomalous test images a run fits all the same, and says what it cannot measure.

    Args:
        rows: the images, in any order.
        source: where they were found, for the errors.

    Returns:
        a table with the columns of `ImageRow` and a RangeIndex: the training images, then those
        of the data set's own validation, then the test images, each sorted by path.

    Raises:
        UserError: training images are missing, an image to learn from is anomalous, or a mask
            doesn't fit its image.
    """
    ordered = sorted(rows, key=lambda row: (SUBSETS.index(row.split), row.path))
    if not ordered or ordered[0].split != "train":
        raise UserError(f"{source} has no training images")
    for row in ordered:
        if row.label and row.split != "test":
            raise UserError(f"{source}: only test images may be anomalous, not {row.path}")
        if row.mask:
            _check_mask_size(row)
    # As objects: pandas' own strings refuse a file's name that is no UTF-8.
    catalog = pd.DataFrame(ordered, columns=list(ImageRow._fields), dtype=object)
    return catalog.astype({"label": int})


def category_facts(
    category: str, shared: Mapping[str, Any], categories: Mapping[str, Any]
) -> CategoryFacts:
    """Return a category's facts: its own entries over those that all categories share.

    Raises:
        UserError: an entry is misspelt, missing or of the wrong type.
    """
    own = categories.get(category) or {}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(CategoryFacts), shared, own)
        return cast("CategoryFacts", OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"facts of category {category}: {reason}") from error


def unknown_category(dataset: str, category: str, known: Iterable[str]) -> UserError:
    """Return the error for a category that the data set doesn't have."""
    return UserError(
        f"data set {dataset} has no category {category!r}: choose from {', '.join(known)}"
    )


def _check_mask_size(row: ImageRow) -> None:
    """Compare the sizes in the files' heads, 0.1 ms; decode both only where these don't tell."""
    size = _size(Path(row.path))
    if size is None or any(_size(file) != size for file in mask_files(row.mask)):
        read_mask(row.mask, read_image(row.path).shape[:2])


def _size(path: Path) -> tuple[int, int] | None:
    """Return the size in an image's head, or None where it is damaged or EXIF turns the image."""
    from PIL import ExifTags, Image

    try:
        with open_regular(path) as file, Image.open(file) as image:
            tagged = "exif" in image.info or image.format == "TIFF"
            turned = tagged and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            return None if turned else image.size
    except (OSError, Image.DecompressionBombError):
        return None
