"""A sweep as a whole: where its jobs write and which of them failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

FAILURE_FILE = "failure.json"

_folder: Path | None = None


class SweepCallback(Callback):
    """Hydra's hook at a sweep's start."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        """Remember the sweep's folder."""
        global _folder  # noqa: PLW0603 - Hydra makes and keeps the callback itself
        _folder = Path(config.hydra.sweep.dir).absolute()


def sweep_folder() -> Path | None:
    """Return the folder of this process's sweep, None for a single run."""
    return _folder


def failed_jobs() -> list[tuple[Path, dict[str, Any]]]:
    """Return each failed job's folder and what its failure file says."""
    if _folder is None:
        return []
    found = sorted(_folder.rglob(FAILURE_FILE))
    return [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in found]
