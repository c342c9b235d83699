"""What heat maps are worth, by all the figures that the field reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gad_bench.data.saturation import knows_saturations, saturated_masks
from gad_bench.evaluation.definitions import Definitions
from gad_bench.evaluation.metrics import Vector
from gad_bench.evaluation.per_image_overlap import resampled_overlap
from gad_bench.evaluation.pixel_intervals import resampled_pixel_metrics
from gad_bench.evaluation.pixels import Map
from gad_bench.evaluation.saturated_overlap import Defect, resampled_saturated_overlap
from gad_bench.evaluation.segmentation import good_threshold, resampled_segmentation_f1
from gad_bench.patches.truth import MaskedMaps

IN_MEMORY = 2**25  # pixels: 160 MiB of heat maps and masks, which are then enlarged and read once


def measure_maps(
    maps: MaskedMaps, held_out: MaskedMaps | None, definitions: Definitions, seed: int
) -> tuple[dict[str, float], dict[str, Vector]]:
    """Return figures by pixel, none of those that lack defects, good images or masks.

    Beside those of `resampled_pixel_metrics`:

    - aupimo: the mean over anomalous images of AUPIMO;
    - spro: where the data set knows how much of each defect is enough;
    - seg_f1, seg_f1_threshold: where good images are held out, by which the threshold is set.

    Args:
        maps: of the test images.
        held_out: of good images that were neither fitted nor tested; None or none.
        definitions: of those figures that have several.
        seed: of the bootstrap.

    Returns:
        the figures, and those of them that were drawn over resamples [resamples].
    """
    limits = definitions.aupro_limits
    pixels = sum(height * width for height, width in maps.shapes)
    images = list(maps) if pixels <= IN_MEMORY else maps
    found, drawn = resampled_pixel_metrics(images, seed=seed, limits=limits)
    if not found:
        return {}, {}
    if drawn and (overlap := resampled_overlap(images, seed=seed)):
        found["aupimo"], drawn["aupimo"] = overlap
    if all(knows_saturations(mask) for mask in maps.tested["mask"] if mask):
        spro, over = resampled_saturated_overlap(_Saturated(maps), limits, seed=seed)
        found, drawn = found | spro, drawn | over
    if held_out is not None and len(held_out.heat):
        threshold = good_threshold((heat for heat, _ in held_out), definitions.deviations)
        found["seg_f1_threshold"] = threshold
        if drawn:
            found["seg_f1"], drawn["seg_f1"] = resampled_segmentation_f1(
                images, threshold, seed=seed
            )
    return found, drawn


@dataclass(frozen=True)
class _Saturated:
    """The images of some maps with their defects, as often as they are iterated over."""

    maps: MaskedMaps

    def __iter__(self) -> Iterator[tuple[Map, list[Defect]]]:
        for row in np.flatnonzero(self.maps.known):
            mask, shape = self.maps.tested["mask"].iloc[row], self.maps.shapes[row]
            defects = [Defect(*own) for own in saturated_masks(mask, shape)] if mask else []
            yield self.maps.heat_map(int(row)), defects
