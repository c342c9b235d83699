"""Fitted objects as JSON and arrays: dataclasses all the way down, and no pickle.

A dataclass becomes {"class": its name, its fields}; an array a name in the file of arrays; a
mapping {"map": [[key, value], ...]}, so that keys keep their type. When read, a class is looked up
only in this package and in modules that the reader names, and only a dataclass is built.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gad_bench.errors import UserError

CLASS, ARRAY, MAP = "class", "array", "map"
OWN = "gad_bench"
PLAIN = (str, bool, int, type(None))

Arrays = dict[str, NDArray[Any]]


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
