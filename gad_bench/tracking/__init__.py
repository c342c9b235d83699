"""Where runs are recorded: MLflow, or nowhere. The only room, with the report, that knows it."""

from gad_bench.tracking.interface import (
    FILES,
    KEY,
    DatasetInput,
    Description,
    ServedModel,
    SweepSummary,
    TrackedRun,
    Tracker,
    refuse_password,
    without_password,
)
from gad_bench.tracking.mlflow_aside import aside, start_companion
from gad_bench.tracking.mlflow_runs import MLflow
from gad_bench.tracking.nowhere import NoTracking

__all__ = [
    "FILES",
    "KEY",
    "DatasetInput",
    "Description",
    "MLflow",
    "NoTracking",
    "ServedModel",
    "SweepSummary",
    "TrackedRun",
    "Tracker",
    "aside",
    "refuse_password",
    "start_companion",
    "without_password",
]
