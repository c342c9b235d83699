"""The errors that a user is told of in one line, without a traceback."""

from __future__ import annotations


class UserError(ValueError):
    """What was asked for is impossible.

    The message is one line: what is wrong, where, and what to do. The program ends with status 2
    and shows no traceback.
    """


class TrackingError(RuntimeError):
    """A finished run could not be recorded; its files are there. The program ends with status 1."""
