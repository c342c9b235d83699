"""What a category allows to be augmented: all of it, or nothing."""

from __future__ import annotations

from dataclasses import replace

from gad_bench.data.catalog import CategoryFacts

FREE = CategoryFacts(
    kind="object",
    horizontal_flip=True,
    quarter_turns=True,
    rotation_limit=45,
    shift_limit=0.05,
    scale_limits=(-0.05, 0.1),
    smallest_defect=None,
)
STILL = replace(
    FREE,
    horizontal_flip=False,
    quarter_turns=False,
    rotation_limit=0,
    shift_limit=0,
    scale_limits=(0, 0),
)
