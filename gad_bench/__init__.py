"""Benchmark harness for image anomaly detection with Gaussians on pretrained deep features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gad_bench.deploy.detector import SavedDetector as Detector

__all__ = ["Detector"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    """Import what this package offers when it is asked for: the import itself stays light."""
    if name != "Detector":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from gad_bench.deploy.detector import SavedDetector

    return SavedDetector
