"""What a training leaves in its folder, and how that is read again.

`last.ckpt` is a checkpoint of Lightning's, after each epoch but the last, with the best weights so
far and the curves in it; it is read as tensors and plain values alone. At the end
`best.safetensors` and `training.json` take its place.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gad_bench.base.files import sha256_of, whole_file, write_text
from gad_bench.trained.schedule import RECORD, Curves, Trained, is_finished
from gad_bench.trained.trainee import Trainee

log = logging.getLogger(__name__)

CHECKPOINT, WEIGHTS = "last.ckpt", "best.safetensors"
UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError),
    *(pickle.UnpicklingError, SafetensorError),
)


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return a checkpoint's content, None where there is none that can be read."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        _ = content["curves"], content["best"], content["best_epoch"]
    except UNREADABLE as error:
        log.warning("%s is damaged (%s): the training starts again", path, type(error).__name__)
        path.unlink()
        return None
    return content


def finish(folder: Path, best: Mapping[str, Tensor], curves: Curves) -> None:
    """Put the best weights and the curves in the checkpoint's place.

    Raises:
        OSError: they cannot be written.
    """
    with whole_file(folder / WEIGHTS) as temporary:
        save_file({key: tensor.contiguous() for key, tensor in best.items()}, temporary)
    record = {
        "weights": sha256_of(folder / WEIGHTS),
        "curves": curves.values,
        "best_epoch": curves.best_epoch,
    }
    write_text(folder / RECORD, json.dumps(record))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def read_finished(folder: Path, network: Trainee) -> Trained | None:
    """Return a network as its training left it, None where there is none that can be read.

    Args:
        folder: of the training.
        network: takes the weights.
    """
    if not is_finished(folder):
        return None
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if sha256_of(folder / WEIGHTS) != record["weights"]:
            raise ValueError("the weights are others")
        network.load_state_dict(load_file(folder / WEIGHTS))
        curves = Curves(values=dict(record["curves"]), best_epoch=int(record["best_epoch"]))
    except UNREADABLE as error:
        log.warning("%s is damaged (%s): the training starts again", folder, error)
        return None
    return Trained(network=network.eval(), curves=curves)
