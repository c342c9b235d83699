"""Whether a process of its own records a command's runs; it is started before all else."""

from __future__ import annotations

from collections.abc import Sequence

from gad_bench.base.process import has_spare_core
from gad_bench.tracking import start_companion

FLAGS_OF_RUNS = ("-m", "--multirun", "-cd", "--config-dir", "-cn", "--config-name")
WITHOUT = ("tracking=none", "resume=")  # nothing is recorded, or looked up here first


def start_recording(arguments: Sequence[str]) -> None:
    """Start the process that records, where it gains time: MLflow takes 1.5 s to import."""
    shows = any(
        argument.startswith("-") and argument.partition("=")[0] not in FLAGS_OF_RUNS
        for argument in arguments
    )
    if not shows and has_spare_core() and not any(a.startswith(WITHOUT) for a in arguments):
        start_companion()
