"""Painting: good images with defects that nobody made, to choose by where no defect is known."""

from gad_bench.data.painting.recipes import Painted, cut_and_paste, noise_blend
from gad_bench.data.painting.selection import NoSelection, PaintedDefects, Selection

__all__ = [
    "NoSelection",
    "Painted",
    "PaintedDefects",
    "Selection",
    "cut_and_paste",
    "noise_blend",
]
