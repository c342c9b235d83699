"""What a tracking store holds of runs, for the tests of all that records."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def store_in(folder: Path) -> str:
    """The address of the store that runs in a folder make."""
    return f"sqlite:///{folder / 'mlflow.db'}"


def recorded_runs(uri: str, experiment: str = "gad_bench") -> list[Any]:
    """All runs of an experiment, the newest first."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def recorded_sweep(uri: str) -> tuple[Any, list[Any]]:
    """The only sweep's own run, and the runs that nest under it, which are all others."""
    runs = recorded_runs(uri)
    (parent,) = [run for run in runs if run.data.tags.get("role") == "sweep"]
    nested = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(nested) == len(runs) - 1
    return parent, nested


def artifacts_of(uri: str, run: Any) -> set[str]:
    """The names of a run's artifacts."""
    from mlflow.tracking import MlflowClient

    return {file.path for file in MlflowClient(uri).list_artifacts(run.info.run_id)}
