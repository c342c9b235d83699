"""Arrays that come in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = TypeVar("Array", bound=NDArray[Any])


def join_up(parts: Iterable[Array], length: int) -> Iterator[Array]:
    """Join arrays to such of a length or more, and what is left over at the end."""
    waiting: list[Array] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= length:
            yield np.concatenate(waiting)  # type: ignore[misc]
            waiting = []
    if waiting:
        yield np.concatenate(waiting)  # type: ignore[misc]
