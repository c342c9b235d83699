"""What scores are worth: metrics, working points and figures. Arrays in, numbers and PNGs out."""

from gad_bench.evaluation.evaluate import Scores, evaluate

__all__ = ["Scores", "evaluate"]
