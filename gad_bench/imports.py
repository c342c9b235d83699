"""Importing what a run needs, all of it at one time and quickly."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module

FEW = 20  # modules: not worth it that what is garbage by then is kept for good


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import without looking for garbage.

    There is hardly any among modules, and the collector would look through them again and again
    while they are imported, during the run, and at the end of the process: a quarter of the time of
    a run on stored features.
    """
    before, collecting = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before + FEW:
            gc.freeze()
        if collecting:
            gc.enable()


def import_libraries(names: Iterable[str]) -> None:
    """Import modules that are used later, so that they do not count as the work that uses them."""
    with quick_imports():
        for name in names:
            import_module(name)
