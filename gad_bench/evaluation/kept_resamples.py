"""A run's figures over resamples of its test images, kept to compare runs on the same images.

Runs that test the same images by the same seed draw the same resamples. So the difference of two
runs is had from some numbers of each, a resample a number, and no heat map is kept for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.base.files import read_regular, whole_file
from gad_bench.evaluation.metrics import Vector


@dataclass(frozen=True, kw_only=True)
class KeptResamples:
    """Figures over resamples.

    Attributes:
        images: a digest of the test images and of what drew among them: runs that have the same one
            have the same resamples.
        fewest: how many images the rarer kind has.
        tested: how many there are of both.
        values: the figures, by name.
        drawn: the same over resamples [resamples], by name.
    """

    images: str
    fewest: int
    tested: int
    values: Mapping[str, float]
    drawn: Mapping[str, Vector]


def write_resamples(path: Path, kept: KeptResamples) -> None:
    """Write a file of safetensors, in float32, whole or not at all."""
    from safetensors.numpy import save

    arrays = {name: values.astype(np.float32) for name, values in kept.drawn.items()}
    facts = {
        "images": kept.images,
        "fewest": kept.fewest,
        "tested": kept.tested,
        "values": dict(kept.values),
    }
    with whole_file(path) as draft:
        draft.write_bytes(save(arrays, metadata={"facts": json.dumps(facts)}))


def read_resamples(path: Path) -> KeptResamples:
    """Read what `write_resamples` wrote.

    Raises:
        UserError: the file is damaged.
    """
    from safetensors.numpy import load

    content = read_regular(path)
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = json.loads(header["__metadata__"]["facts"])
        arrays = load(content)
        drawn = np.stack([*arrays.values()]).astype(np.float64)  # refuses what is not alike
        return KeptResamples(
            images=str(facts["images"]),
            fewest=int(facts["fewest"]),
            tested=int(facts["tested"]),
            values={name: float(facts["values"][name]) for name in arrays},
            drawn=dict(zip(arrays, drawn, strict=True)),
        )
    except Exception as error:  # safetensors' own, and whatever else a damaged file ends in
        raise UserError(f"{path} is damaged: run it again") from error
