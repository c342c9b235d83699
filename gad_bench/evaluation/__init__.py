"""What scores are worth: metrics, working points and figures. Arrays in, numbers and PNGs out."""

from gad_bench.evaluation.evaluate import Scores, evaluate
from gad_bench.evaluation.folds import average_folds, evaluate_folds

__all__ = ["Scores", "average_folds", "evaluate", "evaluate_folds"]
