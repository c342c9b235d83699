from __future__ import annotations

import pytest

from gad_bench.features.threads import thread_count


@pytest.mark.parametrize(("value", "threads"), [("1", 1), ("3", 3), ("4,2", 4)])
def test_a_launcher_gives_the_threads_by_omp_num_threads(
    value: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert thread_count() == threads


@pytest.mark.parametrize("value", ["", "0", "many"])
def test_without_it_there_are_as_many_as_cores(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert thread_count() == 1
