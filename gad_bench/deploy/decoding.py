"""From the JSON and the arrays of a saved detector to its objects, each by the type that is due.

The types are those of the dataclasses' own fields. Nothing is built before its fields are checked,
and no name in a file imports a module that its reader has not named.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.base.stored_config import is_of
from gad_bench.deploy.format import ARRAY, CLASS, MAP, OWN, Arrays, class_name
from gad_bench.deploy.schema import CLASSES, FIELDS, KINDS, problems

LARGEST_INTEGER = 2**53
ABOUT = ("key", "dataset", "category", "backbone")


def decode(
    node: Any,  # noqa: ANN401 - any JSON
    arrays: Arrays,
    trusted: Sequence[str] = (),
    kind: Any = Any,  # noqa: ANN401 - any type
    place: str = "it",
) -> Any:  # noqa: ANN401
    """Return the value that `encode` was given.

    Args:
        node: as `encode` returned it.
        arrays: as it filled them.
        trusted: modules and packages, besides this one, whose dataclasses may be built.
        kind: the type that is due; Any for whatever may be part of a detector.
        place: the value's dotted name, for errors.

    Raises:
        UserError: a class is unknown or not to be trusted, or a value is not of the type that is
            due; names the place.
    """
    reader = _Reader(arrays, trusted)
    try:
        value = reader.read(node, kind, place)
    except RecursionError as error:
        raise UserError(f"{place} is nested too deeply") from error
    unused = sorted(arrays.keys() - reader.used)
    if unused:
        raise UserError(f"the array {unused[0]!r} belongs to nothing")
    return value


def check_facts(facts: Mapping[str, Any]) -> None:
    """Check what a detector's file says beside what it scores with.

    Raises:
        UserError: names what is missing or of the wrong type.
    """
    _require(
        facts.keys() == {"about", "features", "scorer"}, "it", "has other parts than it should"
    )
    about, features = facts["about"], facts["features"]
    _require(_are_texts(about), "about", "is no mapping of texts")
    missing = next((key for key in ABOUT if key not in about), None)
    _require(missing is None, "about", f"lacks {missing}")
    _require(isinstance(features, dict), "features", "is no mapping")
    _require(features.keys() == {"reading", "backbone", "runtime"}, "features", "has other parts")
    _require(isinstance(features["reading"], str), "features.reading", "is no text")
    _require(isinstance(features["backbone"], dict), "features.backbone", "is no mapping")
    _require(_are_texts(features["runtime"]), "features.runtime", "is no mapping of texts")


class _Reader:
    """Reads one file's values.

    Attributes:
        arrays: of the file, by name.
        trusted: modules and packages whose dataclasses may be built.
        used: the names of the arrays that were read.
    """

    def __init__(self, arrays: Arrays, trusted: Sequence[str]) -> None:
        self.arrays, self.trusted = arrays, trusted
        self.used: set[str] = set()

    def read(self, node: Any, kind: Any, place: str) -> Any:  # noqa: ANN401, PLR0911 - one a kind
        """Return the value of a node, of the type that is due."""
        if kind is Any:
            return self._read_any(node, place)
        kind = _due(node, kind)
        if isinstance(kind, tuple):
            return self._object(node, kind, place)
        origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
        if origin in PLAIN:
            _require(PLAIN[origin](node), place, f"is no {origin.__name__} that can be")
            return node
        if origin is np.ndarray:
            return self._array(node, typing.get_args(inner[1])[0], place)
        if issubclass(origin, Mapping):
            return self._mapping(node, inner, place)
        if issubclass(origin, Sequence):
            _require(isinstance(node, list), place, "is no list")
            return (tuple if origin is tuple else list)(self._items(node, inner[0], place))
        return self._object(node, KINDS.get(kind, (kind,)), place)

    def _read_any(self, node: Any, place: str) -> Any:  # noqa: ANN401
        if isinstance(node, list):
            return self._items(node, Any, place)
        if not isinstance(node, dict):
            _require(any(fits(node) for fits in PLAIN.values()), place, "is no value")
            return node
        if ARRAY in node:
            return self._array(node, None, place)
        if MAP in node:
            return self._mapping(node, (Any, Any), place)
        return self._object(node, tuple(CLASSES), place)

    def _items(self, nodes: Sequence[Any], kind: Any, place: str) -> list[Any]:  # noqa: ANN401
        return [self.read(node, kind, f"{place}.{number}") for number, node in enumerate(nodes)]

    def _array(self, node: Any, kind: Any, place: str) -> Any:  # noqa: ANN401
        _require(isinstance(node, dict) and set(node) == {ARRAY}, place, "is no array")
        name = node[ARRAY]
        _require(isinstance(name, str) and name in self.arrays, place, f"has no array {name!r}")
        _require(name not in self.used, place, f"names the array {name!r}, which is another's")
        self.used.add(name)
        array = self.arrays[name]
        if kind is not None:
            due = np.dtype(kind)
            _require(array.dtype == due, place, f"is of the type {array.dtype}, not {due}")
        if array.dtype.kind == "f":
            _require(bool(np.isfinite(array).all()), place, "holds what is not finite")
        return array

    def _mapping(self, node: Any, kinds: tuple[Any, ...], place: str) -> dict[Any, Any]:  # noqa: ANN401
        pairs = node.get(MAP) if isinstance(node, dict) and set(node) == {MAP} else None
        _require(isinstance(pairs, list), place, "is no mapping")
        found: dict[Any, Any] = {}
        for pair in typing.cast("list[Any]", pairs):
            _require(isinstance(pair, list) and len(pair) == 2, place, "is no mapping")
            key, value = pair
            _require(type(key) in (int, str), place, f"has the key {str(key)[:40]!r}")
            key = self.read(key, kinds[0], f"{place}, a key")
            _require(key not in found, place, f"has the key {key!r} twice")
            found[key] = self.read(value, kinds[1], f"{place}.{key}")
        return found

    def _object(self, node: Any, allowed: tuple[type, ...], place: str) -> Any:  # noqa: ANN401
        _require(isinstance(node, dict) and isinstance(node.get(CLASS), str), place, "has no class")
        name = node[CLASS]
        kind = {class_name(one): one for one in allowed}.get(name) or self._trusted(name, place)
        given, due = node.keys() - {CLASS}, {field.name for field in dataclasses.fields(kind)}
        if given != due:
            differing = ", ".join(sorted(map(str, given ^ due)))
            raise UserError(f"{place} was written by another version of {name}: {differing}")
        hints = _hints(kind)
        fields = {key: self.read(node[key], hints[key], f"{place}.{key}") for key in due}
        wrong = next(problems(kind, fields), None)
        if wrong:
            raise UserError(f"{place}: {wrong}")
        try:
            return kind(**fields)
        except UserError as error:
            raise UserError(f"{place}: {error}") from error
        except Exception as error:  # of a class that was trusted
            raise UserError(f"{place} is no {name}: {type(error).__name__}: {error}") from error

    def _trusted(self, name: str, place: str) -> Any:  # noqa: ANN401 - a class
        """Return a class that is not of this package, where its module is trusted."""
        module, _, attribute = name.rpartition(".")
        if not is_of(module, self.trusted):
            if is_of(module, [OWN]):
                raise UserError(f"{place} names {name}, which has no place there")
            raise UserError(
                f"{place} names the class {name}, which is not of {OWN}: if you trust it, "
                f"say trust=[{module.partition('.')[0]}]"
            )
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"{place} names the class {name}, which there is not here") from error
        if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
            raise UserError(f"{place} names {name}, which is no dataclass")
        return found


def _require(holds: object, place: str, wrong: str) -> None:
    if not holds:
        raise UserError(f"{place} {wrong}")


def _due(node: Any, kind: Any) -> Any:  # noqa: ANN401
    """Return the type that is due of a union: None's for None, or the classes that it may be of."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    kinds = typing.get_args(kind)
    if node is None and type(None) in kinds:
        return type(None)
    wanted = tuple(one for one in kinds if one is not type(None))
    return wanted[0] if len(wanted) == 1 else wanted


def _hints(kind: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a dataclass
    """Return the types of the fields; those of a trusted class may be any."""
    fields = [field.name for field in dataclasses.fields(kind)]
    if kind.__module__.partition(".")[0] != OWN:
        return dict.fromkeys(fields, Any)
    hints = {**typing.get_type_hints(kind), **FIELDS.get(kind, {})}
    return {name: hints[name] for name in fields}


def _are_texts(node: Any) -> bool:  # noqa: ANN401
    return isinstance(node, dict) and all(isinstance(value, str) for value in node.values())


def _is_integer(node: Any) -> bool:  # noqa: ANN401
    return type(node) is int and abs(node) < LARGEST_INTEGER


def _is_number(node: Any) -> bool:  # noqa: ANN401
    return _is_integer(node) or (type(node) is float and math.isfinite(node))


PLAIN: Mapping[Any, typing.Callable[[Any], bool]] = {
    bool: lambda node: type(node) is bool,
    int: _is_integer,
    float: _is_number,
    str: lambda node: type(node) is str,
    type(None): lambda node: node is None,
}
"""What a plain value must be, by the type that is due."""
