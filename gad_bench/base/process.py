"""The process: its threads, imports, clock, paths and device."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from gad_bench.base.errors import UserError

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

FEW = 20  # modules: not worth it that what is garbage by then is kept for good
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
TURN, FOLDER = "GAD_BENCH_GPU", "GAD_BENCH_FOLDER"  # what a launcher tells its jobs
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h
OWN_MAPPING, KEPT_FREE = 2**22, 2**26  # bytes
CUDA_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def config_folder() -> Path:
    """Return conf/: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


def default_cache_folder() -> Path:
    """Return the user's own cache folder, which GAD_BENCH_CACHE or cache_dir replaces."""
    from platformdirs import user_cache_path

    return user_cache_path("gad_bench")


def cache_folder() -> Path:
    """Return the folder for what is remembered from run to run, but where cache_dir names one."""
    named = os.environ.get("GAD_BENCH_CACHE")
    return Path(named).expanduser() if named else default_cache_folder()


class Stopwatch:
    """Seconds of a run's stages, one after the other.

    Attributes:
        seconds: by stage.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all stages and begin the first."""
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage, or a further part of one, and begin the next."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0) + now - self._last
        self._last = now

    def add(self, other: Stopwatch) -> None:
        """Count the stages that another has measured up to now among one's own."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0) + seconds
        self._last = other._last

    def __str__(self) -> str:
        return ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())


SINCE_START = Stopwatch()
"""Begun by the command line, and carried on by a run on its own."""


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import without looking for garbage.

    There is hardly any among modules, and the collector would look through them again and again
    while they are imported, during the run, and at the end of the process: a quarter of the time of
    a run on stored features.
    """
    before, collecting = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before + FEW:
            gc.freeze()
        if collecting:
            gc.enable()


def import_libraries(names: Iterable[str]) -> None:
    """Import modules that are used later, so that they do not count as the work that uses them."""
    with quick_imports():
        for name in names:
            import_module(name)


def thread_count() -> int:
    """Return OMP_NUM_THREADS, which launchers set for each job, else the cores that there are."""
    named = _named_threads()
    if named:
        return named
    from joblib import cpu_count  # heeds affinity and a container's share

    return int(cpu_count())


def has_spare_core() -> bool:
    """Tell whether there is a core beside the one that this thread is on."""
    named = _named_threads()
    if named:
        return named > 1
    heeded = getattr(os, "sched_getaffinity", None)
    return len(heeded(0) if heeded else range(os.cpu_count() or 1)) > 1


def _named_threads() -> int | None:
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(named) if named.isdecimal() and int(named) else None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep linear algebra to one thread, which sums in one order: the same last bit everywhere.

    Several threads may be inside at once.
    """
    libraries = _libraries(len(sys.modules))
    with libraries.select(user_api="openmp").limit(limits=1), _BLAS.limited(libraries):
        yield


class _Blas:
    """BLAS on one thread for as long as anybody is inside.

    Its number of threads is the process's, where OpenMP's is the calling thread's. So the last one
    out restores it: were it each for itself, the first one out would take the limit from those
    still inside, and the last one would restore the limit that it found. A BLAS on OpenMP, as
    faiss has, goes by OpenMP's number.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.inside = 0
        self.limit: Any = None

    @contextlib.contextmanager
    def limited(self, libraries: ThreadpoolController) -> Iterator[None]:
        with self.lock:
            if not self.inside:
                _own_limits()
                self.limit = libraries.select(filepath=_of_process(libraries)).limit(limits=1)
            self.inside += 1
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if not self.inside:
                    _own_limits()
                    self.limit.restore_original_limits()
                    _own_limits()


_BLAS = _Blas()


def _own_limits() -> None:
    """Let the next thread that asks set OpenBLAS's limit.

    Since threadpoolctl 3.8 it is the first one's that ever did, and others are passed over.
    """
    from threadpoolctl import OpenBLASController

    OpenBLASController.clear_controlling_thread(force=True)


def _of_process(libraries: ThreadpoolController) -> list[str]:
    """Return the files of the BLAS libraries whose number of threads is the process's."""
    return [
        library.filepath
        for library in libraries.lib_controllers
        if library.user_api == "blas" and getattr(library, "threading_layer", "") != "openmp"
    ]


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:  # noqa: ARG001 - the cache's key
    """Find what is loaded, which takes 15 ms: anew when something was imported meanwhile."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def keep_freed_memory() -> None:
    """Let arrays have the memory of those before them, where the C library is glibc.

    It would give back an array of 128 KiB as soon as that is done with, and the kernel fill the
    next one's pages with zeros: more work than the arithmetic of a bootstrap.
    """
    try:
        change = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    change(MMAP_THRESHOLD, OWN_MAPPING)
    change(TRIM_THRESHOLD, KEPT_FREE)


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


def device_name(device: str) -> str:
    """Return what people call a device, a CPU with the threads that are used on it."""
    kind, _, index = resolve_device(device).partition(":")
    if kind == "cuda":
        import torch

        return torch.cuda.get_device_name(int(index or 0))
    if kind == "mps":
        return f"{platform.processor()} GPU"
    threads = thread_count()
    return f"{_cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"


def _cpu_name() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    named = re.search(r"^model name\s*:\s*(.+)$", facts, re.MULTILINE)
    return named[1].strip() if named else platform.machine()


class PeakMemory:
    """The most memory that was held at once while inside, in bytes.

    Attributes:
        process: the process's own; the most since it began, where the system cannot forget that.
        device: PyTorch's on a GPU, None on another device.
    """

    process: int
    device: int | None = None

    def __init__(self, device: str) -> None:
        self._cuda = device if device.startswith("cuda") else None

    def __enter__(self) -> PeakMemory:
        with contextlib.suppress(OSError):  # not on Linux
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats(self._cuda)
        return self

    def __exit__(self, *exception: object) -> None:
        self.process = _peak_of_process()
        if self._cuda:
            import torch

            self.device = torch.cuda.max_memory_allocated(self._cuda)


def _peak_of_process() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1]) * 1024  # type: ignore[index]


def _has_mps() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"


def processes() -> int:
    """Return how many jobs a machine runs at once: one a GPU, or one a core (-1 for joblib)."""
    return cuda_devices() or -1


def gpus_a_job() -> int:
    """Return the GPUs that a job asks for: one where this machine has any."""
    return min(cuda_devices(), 1)


def enter_folder() -> None:
    """Make a Ray worker work where the sweep was started, as a process on that machine would.

    Raises:
        UserError: this node does not have the folder.
    """
    folder = os.environ[FOLDER]
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be entered on this node ({error.strerror}): "
            "start the sweep in a folder that all nodes share"
        ) from error
