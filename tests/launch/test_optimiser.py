"""An optimiser in place of a sweep's whole product: its trials are jobs like any other's."""

from __future__ import annotations

import sys

import pytest
import yaml
from cluster import SWEEP
from program import Program
from recorded import recorded_sweep, store_in

from gad_bench.base.errors import UserError
from gad_bench.launch.job import objective

OPTIMISER = [*SWEEP, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3"]
SPACE = ["covariance=choice(ledoit_wolf,diagonal,identity)", "blocks.indices=choice([1],[3,4])"]


def test_its_trials_nest_and_are_reported_with_how_they_were_chosen(program: Program) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs gad-bench[optuna]")
    outcome = program(*OPTIMISER, *SPACE)
    assert outcome.status == 0, outcome.errors
    assert "3 finished" in outcome.output
    assert "chose the jobs by objective=auroc, by the test set's labels" in outcome.output
    (sweep,) = outcome.folder.glob("multirun/*/*")
    best = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    _, nested = recorded_sweep(store_in(outcome.folder))
    assert len(nested) == 3
    assert best["best_value"] == pytest.approx(max(run.data.metrics["auroc"] for run in nested))
    assert "objective=auroc" in (sweep / "summary" / "report.html").read_text()


def test_it_maximises_the_metric_that_is_named() -> None:
    assert objective({"auroc": 0.9, "aupr": 0.7}, "aupr") == 0.7


def test_a_metric_that_no_run_has_is_refused_with_those_near_it() -> None:
    with pytest.raises(UserError, match=r"objective=aurpc is no metric of this run: .*auroc"):
        objective({"auroc": 0.9, "aupr": 0.7}, "aurpc")


def test_without_the_extra_the_line_says_what_to_install(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper", None)
    outcome = program(*OPTIMISER, *SPACE)
    assert outcome.status == 2
    assert "pip install 'gad-bench[optuna]'" in outcome.errors
