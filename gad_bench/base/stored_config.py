"""YAML files that a run or a sweep left: read as plain values, of which none is followed or run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gad_bench.base.errors import UserError


def read_stored(path: Path) -> Any:  # noqa: ANN401 - any YAML
    """Return what a file holds: mappings, lists, texts, numbers, and nothing that is made of them.

    Libyaml, where it is there, takes a tenth of the time.

    Raises:
        UserError: it cannot be read, or is no YAML of plain values.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if not path.is_file():
        raise UserError(f"{path} cannot be read: there is no such file")
    try:
        text = path.read_text(encoding="utf-8")
        # A few lines of aliases stand for billions of values; no run writes any.
        events = yaml.parse(text, loader) if "*" in text else ()
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            raise ValueError("it holds an alias (*), which no run writes")
        return yaml.load(text, Loader=loader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read: {reason}") from error


def read_stored_mapping(path: Path) -> dict[str, Any]:
    """Return what a file holds, if that is a mapping.

    Raises:
        UserError: it cannot be read, or is none.
    """
    content = read_stored(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} cannot be read: it is no mapping of keys to values")
    return content


def is_of(name: str, packages: Sequence[str]) -> bool:
    """Tell whether a class's or module's full name lies in one of some packages or modules."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
