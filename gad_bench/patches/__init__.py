"""Detectors on the patch grid, and heat maps: where in an image the anomaly is."""

from gad_bench.patches.detector import FittedPatchDetector, PatchDetector, PatchScores
from gad_bench.patches.maps import BatchedMaps, Maps, MapStream

__all__ = [
    "BatchedMaps",
    "FittedPatchDetector",
    "MapStream",
    "Maps",
    "PatchDetector",
    "PatchScores",
]
