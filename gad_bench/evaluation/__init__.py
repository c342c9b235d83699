"""What scores are worth: metrics, working points and figures. Arrays in, numbers and PNGs out."""

from gad_bench.evaluation.definitions import Definitions
from gad_bench.evaluation.scores import (
    HeldOut,
    Scores,
    average_folds,
    evaluate,
    evaluate_folds,
    held_out_as_tested,
)
from gad_bench.evaluation.thresholds import Threshold
from gad_bench.evaluation.working_points import working_points

__all__ = [
    "Definitions",
    "HeldOut",
    "Scores",
    "Threshold",
    "average_folds",
    "evaluate",
    "evaluate_folds",
    "held_out_as_tested",
    "working_points",
]
