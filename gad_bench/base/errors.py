"""The errors that a user is told of in one line, without a traceback."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(ValueError):
    """What was asked for is impossible.

    The message is one line: what is wrong, where, and what to do. The program ends with status 2
    and shows no traceback.
    """


class TrackingError(RuntimeError):
    """A finished run could not be recorded; its files are there. The program ends with status 1."""


def require_choice(key: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        UserError: names the key and the choices.
    """
    if value not in choices:
        raise UserError(f"{key}={value} is unknown: choose one of {', '.join(choices)}")
