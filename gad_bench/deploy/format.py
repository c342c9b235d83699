"""The folder of a saved detector: JSON, arrays and checksums, written whole or not at all.

detector.json          what it is and how it scores; arrays by name
arrays.safetensors     the arrays
config.yaml            the config of the run that fitted it
SHA256SUMS             of those three, as `sha256sum -c` reads them
weights.*              optional: the backbone's weights, in place of those it refers to

In the JSON a dataclass is {"class": its name, its fields}, an array a name in the file of arrays, a
mapping {"map": [[key, value], ...]}, so that keys keep their type. No pickle. `decoding` reads it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import sha256_of, whole_folder

FACTS, ARRAYS, CONFIG, SUMS = "detector.json", "arrays.safetensors", "config.yaml", "SHA256SUMS"
SUMMED = (FACTS, ARRAYS, CONFIG)
CLASS, ARRAY, MAP = "class", "array", "map"
OWN = "gad_bench"
PLAIN = (str, bool, int, type(None))
FORMAT = 2  # 1: classes under the names that their modules had before 0.1.0

Arrays = dict[str, NDArray[Any]]


def require_new(folder: Path) -> None:
    """Refuse a folder that there is already, before anything is computed.

    Raises:
        UserError: there is something at the path.
    """
    if folder.exists():
        raise UserError(f"save={folder} exists already: name a new folder, or remove that one")


def write_folder(
    folder: Path, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], config: str
) -> None:
    """Write a detector's folder.

    Args:
        folder: a new one.
        facts: JSON values.
        arrays: by name.
        config: YAML.

    Raises:
        UserError: there is something at the path.
        OSError: it cannot be written.
    """
    from safetensors.numpy import save

    require_new(folder)
    with _refusing_a_taken(folder), whole_folder(folder) as temporary:
        text = json.dumps({"format": FORMAT, **facts}, indent=1, allow_nan=False)
        (temporary / FACTS).write_text(text + "\n", encoding="utf-8")
        (temporary / CONFIG).write_text(config, encoding="utf-8")
        (temporary / ARRAYS).write_bytes(save(dict(arrays)))
        sums = [f"{sha256_of(temporary / name)}  {name}\n" for name in SUMMED]
        (temporary / SUMS).write_text("".join(sums), encoding="utf-8")


@contextlib.contextmanager
def _refusing_a_taken(folder: Path) -> Iterator[None]:
    """Refuse the folder that another run has written meanwhile, as one that was there before."""
    try:
        yield
    except FileExistsError:
        require_new(folder)
        raise


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a detector's facts and arrays.

    Raises:
        UserError: it is none, of a later format, or damaged.
    """
    from safetensors.numpy import load_file

    if not (folder / FACTS).is_file():
        raise UserError(f"{folder} holds no detector (no {FACTS}): write one with save=FOLDER")
    _check_sums(folder)
    facts = _read_json(folder / FACTS)
    if facts.pop("format", None) != FORMAT:
        raise UserError(
            f"{folder} was written by another version of gad_bench: fit and save it again"
        )
    try:
        return facts, load_file(folder / ARRAYS)
    except Exception as error:  # safetensors' own, and NumPy's of types that it does not know
        reason = " ".join(str(error).split())
        raise UserError(f"{folder / ARRAYS} is damaged ({reason}): copy it again") from error


def _read_json(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        text = path.read_text(encoding="utf-8")
        facts = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): copy it again") from error
    if not isinstance(facts, dict):
        raise UserError(f"{path} is damaged (it is no JSON object): copy it again")
    return facts


def weights_beside(folder: Path) -> Path | None:
    """Return the weights that lie in a detector's folder, if there are any."""
    return next(iter(sorted(folder.glob("weights.*"))), None)


def _check_sums(folder: Path) -> None:
    try:
        _require_file(folder / SUMS)
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
        for name in SUMMED:
            _require_file(folder / name)
        damaged = [name for name in SUMMED if sums.get(name) != sha256_of(folder / name)]
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is damaged ({error}): copy it again") from error
    if damaged:
        raise UserError(f"{folder / damaged[0]} is damaged, its checksum differs: copy it again")


def _require_file(path: Path) -> None:
    """Refuse what is missing, or would never end to be read."""
    if not path.is_file():
        raise UserError(f"{path.name} is missing")


def encode(value: Any, place: str, arrays: Arrays) -> Any:  # noqa: ANN401 - any fitted object
    """Return a value as JSON, and put its arrays into `arrays` under the names of their places.

    Args:
        value: a dataclass, an array, a mapping, a sequence or a plain value, of the same.
        place: the value's dotted name.
        arrays: filled.

    Raises:
        UserError: a part is none of those; names it.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        arrays[place] = np.ascontiguousarray(value)
        return {ARRAY: place}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {CLASS: class_name(type(value))} | {
            field.name: encode(getattr(value, field.name), f"{place}.{field.name}", arrays)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        pairs = value.items()
        return {MAP: [[_key(key), encode(own, f"{place}.{key}", arrays)] for key, own in pairs]}
    if isinstance(value, list | tuple):
        return [encode(own, f"{place}.{number}", arrays) for number, own in enumerate(value)]
    return _plain(value, place)


def _plain(value: Any, place: str) -> Any:  # noqa: ANN401
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, PLAIN):
        return value
    raise UserError(f"{place} is a {type(value).__name__}, which cannot be saved as arrays")


def _key(key: Any) -> str | int:  # noqa: ANN401
    return int(key) if isinstance(key, int | np.integer) else str(key)


def class_name(kind: type) -> str:
    """Return the name that stands for a class in the JSON."""
    return f"{kind.__module__}.{kind.__qualname__}"
