"""AUROC against cost, and what nothing beats at both."""

from __future__ import annotations

from typing import Any

import numpy as np

from gad_bench.report.cost import cost_words, pareto_front
from gad_bench.report.frame import Run
from gad_bench.report.plots import draw_table
from gad_bench.report.report import Request, make_report
from gad_bench.report.tables import Table


def plain_front(costs: np.ndarray, values: np.ndarray) -> set[int]:
    """By definition: no other costs no more, is worth no less, and is better at one."""
    return {
        one
        for one in range(len(costs))
        if not any(
            costs[other] <= costs[one]
            and values[other] >= values[one]
            and (costs[other], values[other]) != (costs[one], values[one])
            for other in range(len(costs))
        )
    }


def test_the_front_is_what_nothing_beats() -> None:
    generator = np.random.default_rng(0)
    for count in (1, 2, 12, 40):
        costs, values = generator.integers(0, 15, size=(2, count)).astype(float)
        front = pareto_front(costs, values)
        points = {(costs[place], values[place]) for place in front}
        assert points == {(costs[p], values[p]) for p in plain_front(costs, values)}
        assert len(points) == len(front)
        assert front == sorted(front, key=lambda place: costs[place])


def run(make: Any, name: str, auroc: float, latency: float, device: str = "a CPU") -> Run:
    costs = {"cost_latency_ms": latency, "cost_memory_mb": 10 * latency}
    metrics = {"auroc": auroc, **costs}
    return make("bolt", metrics=metrics, covariance=name, cost_device=device)


def table_of(runs: list[Run]) -> Table:
    report = make_report(runs, Request(where={}), "here")
    return next(table for table in report.tables if table.layout.name == "cost")


def test_any_runs_whose_cost_was_measured_have_it_in_the_report(run_of: Any) -> None:
    values = {"oas": (0.9, 5.0), "shrunk": (0.8, 9.0), "identity": (0.7, 2.0)}
    table = table_of([run(run_of, name, *both) for name, both in values.items()])
    assert table.cell(("oas",), ("cost_latency_ms",)).mean == 5.0
    (picture,) = draw_table(table)
    assert picture.name == "cost_front"
    named = {text.get_text() for axes in picture.plot.axes for text in axes.texts}
    assert named == {"oas", "identity"}
    assert picture.words.startswith(
        "Measured on a CPU. Nothing is both better and cheaper in time than: "
        "identity (70.0 %, 2 ms), oas (90.0 %, 5 ms). "
    )


def test_costs_on_several_devices_are_not_held_against_each_other(run_of: Any) -> None:
    runs = [run(run_of, "oas", 0.9, 5.0), run(run_of, "shrunk", 0.8, 2.0, "a GPU")]
    assert "Costs on different devices do not compare." in cost_words(table_of(runs))


def test_runs_without_cost_have_no_such_table(run_of: Any) -> None:
    report = make_report([run_of("bolt", 0, 0.9)], Request(where={}), "here")
    assert "cost" not in [table.layout.name for table in report.tables]
