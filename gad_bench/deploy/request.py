"""The command lines beside Hydra's: KEY=VALUE, typed, with an error in one line."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from gad_bench.errors import TrackingError, UserError

DONE, FAILED, IMPOSSIBLE, INTERRUPTED = 0, 1, 2, 130
HELP = "help"  # of a field's metadata

Request = TypeVar("Request")


def option(help_text: str, default: Any = dataclasses.MISSING) -> Any:  # noqa: ANN401
    """Declare a field with a line of help."""
    return dataclasses.field(default=default, metadata={HELP: help_text})


def run_command(
    kind: type[Request], command: Callable[[Request], int], usage: str, arguments: Sequence[str]
) -> int:
    """Carry out a command and return the exit status: 0, 1 where it failed, 2 for bad input.

    Args:
        kind: a dataclass whose fields are the keys.
        command: given the request, returns the status.
        usage: the help's first lines.
        arguments: of the command line.
    """
    if {"--help", "-h"} & set(arguments):
        print(help_text(kind, usage))
        return DONE
    try:
        return command(parse(kind, arguments))
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return IMPOSSIBLE
    except (OSError, TrackingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def parse(kind: type[Request], arguments: Sequence[str]) -> Request:
    """Return what KEY=VALUE arguments ask for.

    Raises:
        UserError: a key is unknown, given twice or missing, or a value of the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    schema = OmegaConf.structured(kind)
    given = _pairs(arguments, list(schema))
    try:
        merged = OmegaConf.merge(schema, given)
        missing = [str(key) for key in OmegaConf.missing_keys(merged)]
        if missing:
            raise UserError(f"{missing[0]}= is missing: --help lists what there is")
        return cast("Request", OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}") from error


def help_text(kind: Any, usage: str) -> str:  # noqa: ANN401 - a dataclass
    """Return the usage and a line for each key."""
    lines = [usage.strip(), "", "KEY=VALUE"]
    for field in dataclasses.fields(kind):
        value = "" if field.default in (dataclasses.MISSING, None) else field.default
        lines.append(f"  {f'{field.name}={value}':<24} {field.metadata[HELP]}")
    return "\n".join(lines)


def names(text: str | None) -> list[str]:
    """Return the names in a text that parts them by commas."""
    return text.split(",") if text else []


def _pairs(arguments: Sequence[str], known: Sequence[str]) -> dict[str, str | None]:
    pairs: dict[str, str | None] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise UserError(f"{argument} is no KEY=VALUE: the keys are {', '.join(known)}")
        if key not in known:
            raise UserError(f"there is no key {key}: choose from {', '.join(known)}")
        if key in pairs:
            raise UserError(f"{key}= is given twice")
        pairs[key] = None if value in ("", "null") else value
    return pairs
