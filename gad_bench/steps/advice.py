"""What a run's numbers suggest to try next, told only where there is something to say."""

from __future__ import annotations

import logging
import math

import pandas as pd

from gad_bench.data.defect_sizes import narrowest_defect
from gad_bench.features.interface import Backbone

log = logging.getLogger(__name__)

CHANCE = 0.5
NARROW = 8
"""Pixels of the backbone's input: one position of a feature map of stride 8, as networks' middle
blocks have. A defect that is narrower fills no position of those, or of any deeper block."""
MULTIPLE = 32  # the stride of most networks' last block
WORTHWHILE = 1.25  # times the side: less changes little
MASKS = 48  # that are looked at: some 50 ms


def advise_on_auroc(highest: float) -> None:
    """Remind of what an AUROC below chance means.

    Args:
        highest: the upper end of its confidence interval.
    """
    if highest < CHANCE:
        log.warning(
            "AUROC is below chance, so good images score higher than defective ones: are labels or "
            "folders swapped, or are the training images of another kind than the test's? "
            "contact_sheet.png shows them. If neither, these features do not see this defect: try "
            "other blocks=, a larger backbone.input_size= or another backbone="
        )


def advise_on_input(backbone: Backbone, catalog: pd.DataFrame) -> None:
    """Suggest a clearly larger input where the smallest defect covers few of the input's pixels.

    No larger one than the images themselves, and none where the backbone has no such setting, or
    takes a rectangle.

    Args:
        backbone: the run's.
        catalog: the category's images, with masks or without.

    Raises:
        UserError: an image or a mask cannot be read.
    """
    side = backbone.image_size()
    if not (isinstance(side, int) and hasattr(backbone, "input_size")):
        return
    narrowest = narrowest_defect(catalog, MASKS)
    if narrowest is None:
        return
    wanted = math.ceil(side * NARROW / narrowest.at(side) / MULTIPLE) * MULTIPLE
    larger = min(wanted, max(narrowest.shape) // MULTIPLE * MULTIPLE)
    if narrowest.at(side) < NARROW and larger >= WORTHWHILE * side:
        log.info(
            "the smallest defect (%s) is %.1f pixels across at this input of %d: "
            "backbone.input_size=%d is worth a try, at some %.1f times the time",
            narrowest.mask,
            narrowest.at(side),
            side,
            larger,
            (larger / side) ** 2,
        )
