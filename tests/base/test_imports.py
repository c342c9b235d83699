from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gad_bench.base.process import FEW, import_libraries, quick_imports

MANY = [f"new_{number}" for number in range(FEW + 1)]


@pytest.fixture(autouse=True)
def new_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules that nobody has imported, and the collector as it was afterwards."""
    for name in MANY:
        (tmp_path / f"{name}.py").write_text("import gc\ncollecting = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in MANY:
        sys.modules.pop(name, None)
    gc.unfreeze()


def test_the_collector_rests_while_modules_are_imported() -> None:
    import_libraries(MANY[:2])
    assert not sys.modules[MANY[0]].collecting
    assert not sys.modules[MANY[1]].collecting
    assert gc.isenabled()


def test_a_collector_that_rested_before_rests_on() -> None:
    gc.disable()
    try:
        import_libraries(MANY[:1])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_imported_is_not_looked_through_again() -> None:
    import_libraries(MANY)
    assert not any(found is sys.modules[MANY[0]].__dict__ for found in gc.get_objects())


@pytest.mark.parametrize("new", [0, 1])
def test_where_little_is_new_a_jobs_garbage_is_still_found(new: int) -> None:
    gc.unfreeze()
    import_libraries(MANY[:new])
    assert gc.get_freeze_count() == 0


def test_the_collector_works_on_after_an_import_that_fails() -> None:
    with pytest.raises(ModuleNotFoundError), quick_imports():
        import_libraries([MANY[0], "nowhere_to_be_found"])
    assert gc.isenabled()
