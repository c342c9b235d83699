"""Augmentation: training images, changed at random within what a good one may look like."""

from gad_bench.data.augmentation.interface import Augmentation, NoAugmentation
from gad_bench.data.augmentation.paper import PaperAugmentation

__all__ = ["Augmentation", "NoAugmentation", "PaperAugmentation"]
