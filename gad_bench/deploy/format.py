"""The folder of a saved detector: JSON, arrays and checksums, written whole or not at all.

detector.json          what it is and how it scores; arrays by name
arrays.safetensors     the arrays
config.yaml            the config of the run that fitted it
SHA256SUMS             of those three, as `sha256sum -c` reads them
weights.*              optional: the backbone's weights, in place of those it refers to

In the JSON a dataclass is {"class": its name, its fields}, an array a name in the file of arrays, a
mapping {"map": [[key, value], ...]}, so that keys keep their type. When read, a class is looked up
only in this package and in modules that the reader names, and only a dataclass is built: no pickle.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import sha256_of, whole_folder

FACTS, ARRAYS, CONFIG, SUMS = "detector.json", "arrays.safetensors", "config.yaml", "SHA256SUMS"
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
        names = (FACTS, ARRAYS, CONFIG)
        sums = [f"{sha256_of(temporary / name)}  {name}\n" for name in names]
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
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if facts.pop("format") != FORMAT:
        raise UserError(
            f"{folder} was written by another version of gad_bench: fit and save it again"
        )
    return facts, load_file(folder / ARRAYS)


def weights_beside(folder: Path) -> Path | None:
    """Return the weights that lie in a detector's folder, if there are any."""
    return next(iter(sorted(folder.glob("weights.*"))), None)


def _check_sums(folder: Path) -> None:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
        damaged = [name for name in (FACTS, ARRAYS) if sums.get(name) != sha256_of(folder / name)]
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is damaged ({error}): copy it again") from error
    if damaged:
        raise UserError(f"{folder / damaged[0]} is damaged, its checksum differs: copy it again")


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
        return {CLASS: _class_name(type(value))} | {
            field.name: encode(getattr(value, field.name), f"{place}.{field.name}", arrays)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        pairs = value.items()
        return {MAP: [[_key(key), encode(own, f"{place}.{key}", arrays)] for key, own in pairs]}
    if isinstance(value, list | tuple):
        return [encode(own, f"{place}.{number}", arrays) for number, own in enumerate(value)]
    return _plain(value, place)


def decode(node: Any, arrays: Mapping[str, NDArray[Any]], trusted: Sequence[str] = ()) -> Any:  # noqa: ANN401
    """Return the value that `encode` was given.

    Args:
        node: as `encode` returned it.
        arrays: as it filled them.
        trusted: modules and packages, besides this one, whose dataclasses may be built.

    Raises:
        UserError: a class is unknown or not to be trusted, or the node is damaged.
    """
    if isinstance(node, list):
        return [decode(own, arrays, trusted) for own in node]
    if not isinstance(node, dict):
        return node
    if ARRAY in node:
        return arrays[node[ARRAY]]
    if MAP in node:
        return {key: decode(own, arrays, trusted) for key, own in node[MAP]}
    fields = {name: decode(own, arrays, trusted) for name, own in node.items() if name != CLASS}
    name = str(node.get(CLASS))
    try:
        return _dataclass(name, trusted)(**fields)
    except TypeError as error:
        raise UserError(f"the file was written by another version of {name}: {error}") from error


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


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _dataclass(name: str, trusted: Sequence[str]) -> Any:  # noqa: ANN401 - a class by its name
    module, _, attribute = name.rpartition(".")
    if not any(module == own or module.startswith(f"{own}.") for own in (OWN, *trusted)):
        raise UserError(
            f"the file names the class {name}, which is not of {OWN}: if you trust it, "
            f"say trust=[{module.partition('.')[0]}]"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"the file names the class {name}, which there is not here") from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise UserError(f"the file names {name}, which is no dataclass")
    return found
