"""Which device there is, found out without importing torch."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from functools import cache

from gad_bench.errors import UserError

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
TURN = "GAD_BENCH_GPU"
CUDA_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def resolve_device(device: str) -> str:
    """Turn auto into the best device there is: cuda, mps or cpu.

    Raises:
        UserError: the name is unknown, or the machine has no such device.
    """
    if not DEVICE.fullmatch(device):
        raise UserError(f"device={device} is unknown: choose auto, cpu, cuda, cuda:N or mps")
    if device == "auto":
        return _cuda_in_turn() if cuda_devices() else "mps" if _has_mps() else "cpu"
    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= cuda_devices():
        raise UserError(
            f"device={device}: this machine shows {cuda_devices()} CUDA devices; "
            "choose device=auto or device=cpu"
        )
    if kind == "mps" and not _has_mps():
        raise UserError("device=mps: this machine is no Apple silicon; choose device=auto")
    return device


@cache
def cuda_devices() -> int:
    """Ask the driver, which heeds CUDA_VISIBLE_DEVICES, how many GPUs there are."""
    try:
        driver = ctypes.CDLL(CUDA_LIBRARY)
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _cuda_in_turn() -> str:
    """Return the first GPU, or the one whose turn it is for a job that a launcher has numbered."""
    number = os.environ.get(TURN)
    return f"cuda:{int(number) % cuda_devices()}" if number else "cuda"


def _has_mps() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"
