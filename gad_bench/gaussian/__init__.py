"""Distributions of normal features. Arrays in, distances out; nothing here knows of images."""

from gad_bench.gaussian.combination import Combination, Evidence
from gad_bench.gaussian.detector import Detector, FittedBlock, SupervisedDetector
from gad_bench.gaussian.moments import Moments
from gad_bench.gaussian.samples import Samples

__all__ = [
    "Combination",
    "Detector",
    "Evidence",
    "FittedBlock",
    "Moments",
    "Samples",
    "SupervisedDetector",
]
