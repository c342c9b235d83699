"""Benchmark harness for image anomaly detection with Gaussians on pretrained deep features."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gad_bench.deploy.detector import SavedDetector as Detector
    from gad_bench.launch.from_python import results, run, sweep

__all__ = ["Detector", "results", "run", "sweep"]

_FROM_PYTHON = "gad_bench.launch.from_python"
_OFFERED = {
    "Detector": ("gad_bench.deploy.detector", "SavedDetector"),
    **{name: (_FROM_PYTHON, name) for name in ("results", "run", "sweep")},
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    """Import what this package offers when it is asked for: the import itself stays light."""
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    module, attribute = _OFFERED[name]
    return getattr(import_module(module), attribute)
