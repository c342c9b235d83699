"""Which GPU it is, and what its matrix products reach: part of benchmarks/gpu.py."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator

import torch
from gpu_networks import Row, Settings, seconds_of

from gad_bench.base.process import thread_count

ASKED = "name,memory.total,driver_version,clocks.max.sm,power.limit"
PRODUCTS = 8
"""Matrix products at a time."""


def describe(settings: Settings) -> Iterator[Row]:
    yield {"what": "processor", "is": f"{platform.machine()}, {thread_count()} threads"}
    yield {"what": "torch", "is": f"{torch.__version__}, CUDA {torch.version.cuda}"}
    if settings.on_gpu:
        yield {"what": "card", "is": torch.cuda.get_device_name(settings.device)}
    if settings.on_gpu and shutil.which("nvidia-smi"):
        command = ["nvidia-smi", f"--query-gpu={ASKED}", "--format=csv,noheader"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
        yield {"what": ASKED, "is": told.stdout.strip()}


def products(settings: Settings) -> Iterator[Row]:
    """What a product of two square matrices reaches: the ceiling of every model."""
    side = 256 if settings.quick else 8192
    for name, precision, tf32 in (
        ("float32", torch.float32, False),
        ("TF32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        one, two = (
            torch.randn(side, side, device=settings.device, dtype=precision) for _ in range(2)
        )

        def run(one: torch.Tensor = one, two: torch.Tensor = two) -> None:
            for _ in range(PRODUCTS):
                one @ two

        rate = PRODUCTS * 2 * side**3 / seconds_of(run, settings) / 1e12
        yield {"what": f"{name} product of {side} x {side}", "TFLOP/s": rate}
