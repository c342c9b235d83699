"""Networks that are trained on the run's own images."""

from gad_bench.trained.detector import ImageDetector

__all__ = ["ImageDetector"]
