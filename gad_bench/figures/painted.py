"""The contact sheet of painted defects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gad_bench.data.painting import Selection
from gad_bench.figures.contact_sheet import (
    COLUMNS,
    SIDE,
    Thumbnail,
    draw_contact_sheet,
    outlined,
)
from gad_bench.figures.style import save_picture


def draw_painted(
    output: Path,
    painter: Selection,
    images: Sequence[tuple[str, str, Callable[[], NDArray[np.uint8]]]],
    name: str,
) -> None:
    """Draw synthetic.png: some good images held out, and below each its first copies.

    Args:
        output: the folder.
        painter: what paints.
        images: of each its path, its digest and what reads it.
        name: of the run.
    """
    shown = [(Path(path).name, digest, read()) for path, digest, read in images[:COLUMNS]]
    rows = {"good": [Thumbnail(image, "good", False, file=file) for file, _, image in shown]}
    for number, recipe in enumerate(painter.recipes):
        copies = [outlined(*painter.paint(own, digest, number), SIDE) for _, digest, own in shown]
        rows[recipe] = [
            Thumbnail(copy, recipe, True, file=file)
            for copy, (file, _, _) in zip(copies, shown, strict=True)
        ]
    save_picture(draw_contact_sheet(rows), output / "synthetic.png", name)
