"""JSON that is the same text for the same value, a piece at a time: what keys are digests of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any


def json_pieces(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever JSON can hold
    """Yield the text of a value, so that a long one is never in memory as a whole.

    Raises:
        ValueError: a number in it is not finite.
    """
    encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
    return encoder.iterencode(value)


def json_digest(value: Any) -> str:  # noqa: ANN401
    """Return the SHA-256 of a value's text, in hexadecimal.

    Raises:
        ValueError: a number in it is not finite.
    """
    digest = hashlib.sha256()
    for piece in json_pieces(value):
        digest.update(piece.encode())
    return digest.hexdigest()
