"""Commands: their exit statuses, errors in one line, and the command lines beside Hydra's."""

from __future__ import annotations

import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from gad_bench.base.errors import TrackingError, UserError
from gad_bench.base.references import escaped

DONE, FAILED, IMPOSSIBLE, INTERRUPTED = 0, 1, 2, 130
FULL_ERROR = "HYDRA_FULL_ERROR"
SHOW_TRACEBACK = (
    "GAD_BENCH_SHOW_TRACEBACK"  # the user's HYDRA_FULL_ERROR, kept for worker processes
)
KNOWN = (TrackingError, OSError)
"""Errors that are not the user's, but whose message says all that there is to say."""
USERS_PACKAGES = ("hydra", "omegaconf")
"""Whose errors are the user's to mend: told by name, so that no command has to import them."""
LAUNCHERS_PACKAGES = ("joblib", "ray", "submitit")
"""Whose errors are a launcher's own, as when one of its processes was killed."""
HELP = "help"  # of a field's metadata

Keys = TypeVar("Keys")


def run_told(command: Callable[[], int]) -> int:
    """Carry out a command, tell of what goes wrong, and return the exit status.

    Who reads its output may stop before the end, as `| head` does: nothing is wrong then.
    """
    try:
        status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return tell(error)


def tell_of_interrupt() -> int:
    """Tell that Ctrl-C ended a run or a sweep, and return the status."""
    print("interrupted: the same command goes on from what is stored", file=sys.stderr)
    return INTERRUPTED


def tell(error: Exception) -> int:
    """Print an error, with a traceback where its message does not say all; return the status."""
    is_known = is_users(error) or isinstance(error, KNOWN) or _is_of(error, LAUNCHERS_PACKAGES)
    if wants_traceback() or not is_known:
        traceback.print_exception(error)
    if is_known:
        print(f"error: {one_line(error)}", file=sys.stderr)
    return IMPOSSIBLE if is_users(error) else FAILED


def is_users(error: BaseException) -> bool:
    """Tell whether an error is the user's to mend."""
    return isinstance(error, UserError) or _is_of(error, USERS_PACKAGES)


def one_line(error: BaseException) -> str:
    """Return an error's message as one line; Hydra keeps the reason for some in their cause."""
    text, cause = str(error), error.__cause__
    if _is_of(error, ("hydra",)) and cause is not None and _is_of(cause, ("omegaconf",)):
        text += ": " + str(cause).partition("\n")[0]
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename} cannot be used: {error.strerror}"
    text = " ".join(text.split())
    is_said = is_users(error) or isinstance(error, KNOWN)
    return text if is_said else f"{type(error).__name__}: {text}"


def wants_traceback() -> bool:
    """Tell whether the user asked for tracebacks, by HYDRA_FULL_ERROR=1."""
    return os.environ.get(SHOW_TRACEBACK, os.environ.get(FULL_ERROR)) == "1"


def _is_of(error: BaseException, packages: Sequence[str]) -> bool:
    """Tell whether an error's class, or one that it is derived from, is a package's."""
    return any(kind.__module__.partition(".")[0] in packages for kind in type(error).__mro__)


def option(help_text: str, default: Any = dataclasses.MISSING) -> Any:  # noqa: ANN401
    """Declare a field with a line of help."""
    return dataclasses.field(default=default, metadata={HELP: help_text})


def run_command(
    kind: type[Keys], command: Callable[[Keys], int], usage: str, arguments: Sequence[str]
) -> int:
    """Carry out a command and return the exit status: 0, 1 where it failed, 2 for bad input.

    Args:
        kind: a dataclass whose fields are the keys.
        command: given the request, returns the status.
        usage: the help's first lines.
        arguments: of the command line.
    """
    if {"--help", "-h"} & set(arguments):
        return run_told(lambda: show(help_text(kind, usage)))
    return run_told(lambda: command(parse(kind, arguments)))


def show(text: str) -> int:
    """Print a text; the status of a command that does no more."""
    print(text)
    return DONE


def parse(kind: type[Keys], arguments: Sequence[str]) -> Keys:
    """Return what KEY=VALUE arguments ask for.

    Raises:
        UserError: a key is unknown, given twice or missing, or a value of the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    schema = OmegaConf.structured(kind)
    given = _pairs(arguments, list(schema))
    try:
        merged = OmegaConf.merge(schema, escaped(given))
        missing = [str(key) for key in OmegaConf.missing_keys(merged)]
        if missing:
            raise UserError(f"{missing[0]}= is missing: --help lists what there is")
        return cast("Keys", OmegaConf.to_object(merged))
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
