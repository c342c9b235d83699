"""A few test images with their masks and heat maps, kept small, for whoever compares runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import read_regular, whole_file
from gad_bench.data.images import read_image, shrink, shrink_mask
from gad_bench.patches.heat_maps import Map
from gad_bench.patches.truth import Mask, MaskedMaps

COUNT = 6
SIDE = 128  # pixels along the longer side

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A small copy of a test image.

    Attributes:
        path: of the image.
        defect: its kind, "good" for none.
        image: uint8 [height, width, 3].
        mask: of its defects [height, width].
        heat: its heat map [height, width].
    """

    path: str
    defect: str
    image: Pixels
    mask: Mask
    heat: Map


def choose(maps: MaskedMaps, count: int = COUNT) -> list[int]:
    """Return which images are shown, the same ones whatever the heat maps are.

    Of each kind of defect the first by path, then the second ones and so on; one good image last.
    """
    known = maps.tested.assign(row=range(len(maps.tested)))[maps.known].sort_values("path")
    anomalous = known[known["label"] == 1]
    turn = anomalous.groupby("defect").cumcount()
    defective = anomalous.assign(turn=turn).sort_values(["turn", "defect"])["row"][: count - 1]
    good = known[known["label"] == 0]["row"][:1]
    return [int(row) for row in (*defective, *good)]


def examples_of(maps: MaskedMaps) -> list[Example]:
    """Return small copies of some images and their heat maps.

    Raises:
        UserError: an image or a mask cannot be read.
    """
    found = []
    for row in choose(maps):
        tested = maps.tested.iloc[row]
        image = shrink(read_image(tested["path"]), SIDE)
        found.append(
            Example(
                path=tested["path"],
                defect=tested["defect"],
                image=image,
                mask=shrink_mask(maps.mask(row), SIDE),
                heat=maps.heat.at_size(row, *image.shape[:2]),
            )
        )
    return found


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write a file of safetensors, whole or not at all."""
    from safetensors.numpy import save

    arrays = {
        f"{kind}.{number}": np.ascontiguousarray(getattr(example, kind))
        for number, example in enumerate(examples)
        for kind in ("image", "mask", "heat")
    }
    told = [{"path": example.path, "defect": example.defect} for example in examples]
    with whole_file(path) as draft:
        draft.write_bytes(save(arrays, metadata={"examples": json.dumps(told)}))


def read_examples(path: Path) -> list[Example]:
    """Read what `write_examples` wrote.

    Raises:
        UserError: the file is damaged.
    """
    from safetensors.numpy import load

    content = read_regular(path)
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        arrays = load(content)
        return [
            Example(
                path=str(told["path"]),
                defect=str(told["defect"]),
                image=arrays[f"image.{number}"],
                mask=arrays[f"mask.{number}"],
                heat=arrays[f"heat.{number}"],
            )
            for number, told in enumerate(json.loads(header["__metadata__"]["examples"]))
        ]
    except Exception as error:  # safetensors' own, and whatever else a damaged file ends in
        raise UserError(f"{path} is damaged: run it again") from error
