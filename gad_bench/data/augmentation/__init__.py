"""Augmentation: training images, changed within what a good one may look like."""

from gad_bench.data.augmentation.interface import Augmentation, NoAugmentation
from gad_bench.data.augmentation.paper import PaperAugmentation
from gad_bench.data.augmentation.rotations import Rotations

__all__ = ["Augmentation", "NoAugmentation", "PaperAugmentation", "Rotations"]
