"""What a run's detector costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gad_bench.base.process import PeakMemory, device_name
from gad_bench.report.folders import read_folder

TINY = (
    *("experiment=demo", "dataset.train=12", "dataset.test_good=4", "dataset.test_defective=1"),
    *("backbone.input_size=64", "backbone.octaves=3", "tracking=none", "figures=false"),
)


@pytest.mark.parametrize("detector", ["gaussian", "patch_gaussian"])
def test_a_run_measures_its_detector_and_names_the_device(program: Any, detector: str) -> None:
    outcome = program(*TINY, "cost=true", f"detector={detector}", "maps.keep=[0,1,2,3]")
    assert outcome.status == 0, outcome.errors
    found = {name: own for name, own in outcome.metrics.items() if name.startswith("cost_")}
    assert all(value > 0 for value in found.values())
    assert found["cost_latency_ms"] <= found["cost_latency_p95_ms"]
    assert found["cost_images_per_second"] > 100 / found["cost_latency_p95_ms"]
    assert 50 < found["cost_memory_mb"] < 10_000
    assert found["cost_size_mb"] < found["cost_memory_mb"]
    name = (outcome.runs[-1] / "device.txt").read_text().strip()
    assert name == device_name("auto")
    (run,) = read_folder(outcome.runs[-1])
    assert run.keys["cost_device"] == name


def test_without_being_asked_it_measures_nothing(program: Any) -> None:
    outcome = program(*TINY)
    assert not any(name.startswith("cost_") for name in outcome.metrics)
    assert not (outcome.runs[-1] / "device.txt").exists()


def test_the_peak_of_memory_is_that_of_the_time_inside() -> None:
    with PeakMemory("cpu") as before:
        pass
    with PeakMemory("cpu") as memory:
        np.ones(30_000_000)  # 240 MB
    with PeakMemory("cpu") as after:
        pass
    assert memory.process - before.process > 200e6
    assert memory.process - after.process > 200e6
    assert memory.device is None
