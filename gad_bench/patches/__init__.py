"""Detectors on the patch grid. Maps in, scores out; nothing here knows of images or a backbone."""

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
