"""What scores are worth: metrics, working points and figures. Arrays in, numbers and PNGs out."""

from gad_bench.evaluation.definitions import Definitions
from gad_bench.evaluation.evaluate import HeldOut, Scores, evaluate
from gad_bench.evaluation.folds import average_folds, evaluate_folds
from gad_bench.evaluation.threshold import Threshold
from gad_bench.evaluation.working_points import working_points

__all__ = [
    "Definitions",
    "HeldOut",
    "Scores",
    "Threshold",
    "average_folds",
    "evaluate",
    "evaluate_folds",
    "working_points",
]
