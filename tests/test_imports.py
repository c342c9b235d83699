from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gad_bench.imports import import_libraries, quick_imports


@pytest.fixture(autouse=True)
def new_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two modules that nobody has imported, and the collector as it was afterwards."""
    for name in ("new_one", "new_other"):
        (tmp_path / f"{name}.py").write_text("import gc\ncollecting = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("new_one", "new_other"):
        sys.modules.pop(name, None)
    gc.unfreeze()


def test_the_collector_rests_while_modules_are_imported() -> None:
    import_libraries(["new_one", "new_other"])
    assert not sys.modules["new_one"].collecting
    assert not sys.modules["new_other"].collecting
    assert gc.isenabled()


def test_what_was_imported_is_not_looked_through_again() -> None:
    import_libraries(["new_one"])
    assert not any(found is sys.modules["new_one"].__dict__ for found in gc.get_objects())


def test_where_nothing_is_new_a_jobs_garbage_is_still_found() -> None:
    import_libraries(["new_one"])
    gc.unfreeze()
    import_libraries(["new_one"])
    assert gc.get_freeze_count() == 0


def test_the_collector_works_on_after_an_import_that_fails() -> None:
    with pytest.raises(ModuleNotFoundError), quick_imports():
        import_libraries(["new_one", "nowhere_to_be_found"])
    assert gc.isenabled()
