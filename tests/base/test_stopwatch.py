from __future__ import annotations

import time

import pytest

from gad_bench.base.process import Stopwatch


def test_each_stage_lasts_from_the_end_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([10.0, 10.25, 12.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    watch = Stopwatch()
    watch.lap("images")
    watch.lap("features")
    assert watch.seconds == {"images": 0.25, "features": 1.75}
    assert str(watch) == "images 0.2 s, features 1.8 s"


def test_a_stage_with_several_parts_lasts_as_long_as_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    watch = Stopwatch()
    for stage in ("imports", "config", "imports"):
        watch.lap(stage)
    assert watch.seconds == {"imports": 5.0, "config": 2.0}


def test_a_watch_that_is_started_again_has_forgotten_what_was() -> None:
    watch = Stopwatch()
    watch.lap("images")
    watch.restart()
    assert watch.seconds == {}
