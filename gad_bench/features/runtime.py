"""What carries a backbone out: PyTorch or OpenVINO."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from gad_bench.base.errors import UserError, require_choice
from gad_bench.base.process import resolve_device, thread_count
from gad_bench.features.interface import Features, Model, Pixels, Size, height_and_width
from gad_bench.features.requests import InferRequests

if TYPE_CHECKING:
    import openvino
    import torch
    from torch import nn

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
logger = logging.getLogger(__name__)


def _check_precision(precision: str) -> None:
    require_choice("runtime.precision", precision, tuple(PRECISIONS))


@dataclass(frozen=True, kw_only=True)
class TorchRuntime:
    """PyTorch on any device, channels last.

    Attributes:
        precision: of the network's arithmetic, by autocast where it is not float32.
        tf32: let a GPU round float32 products to 10 bits of mantissa, for speed.
    """

    precision: str = "float32"
    tf32: bool = False

    def __post_init__(self) -> None:
        _check_precision(self.precision)

    def facts(self, device: str) -> dict[str, str]:
        """Return the runtime, the precision and the type of the device."""
        kind = resolve_device(device).partition(":")[0]
        rounded = kind == "cuda" and self.tf32 and self.precision == "float32"
        precision = "tf32" if rounded else self.precision
        return {"runtime": "torch", "precision": precision, "device": kind}

    def compile(self, module: nn.Module, image_size: Size, device: str) -> Model:  # noqa: ARG002
        """Move the module to the device; see `interface.Runtime`.

        Raises:
            UserError: the installed torch cannot use the device.
        """
        import torch

        place = torch.device(resolve_device(device))
        if place.type == "cuda" and not torch.cuda.is_available():
            raise UserError(f"device={device}: the installed torch {torch.__version__} has no CUDA")
        model = _TorchModel(module, place, getattr(torch, self.precision), self.tf32)
        return _OneByOne(model) if place.type == "cpu" else _InTurn(model)


@dataclass(frozen=True, kw_only=True)
class OpenVinoRuntime:
    """OpenVINO on the CPU.

    Attributes:
        precision: pinned, for OpenVINO's own default on newer processors is bfloat16.
    """

    precision: str = "float32"

    def __post_init__(self) -> None:
        _check_precision(self.precision)

    def facts(self, device: str) -> dict[str, str]:
        """Return the runtime, the precision and the type of the device.

        Raises:
            UserError: another device than the CPU is asked for.
        """
        if device != "auto" and resolve_device(device) != "cpu":
            raise UserError(f"runtime=openvino runs on device=cpu, not {device}: try runtime=torch")
        return {"runtime": "openvino", "precision": self.precision, "device": "cpu"}

    def compile(self, module: nn.Module, image_size: Size, device: str) -> Model:
        """Convert the module for single images; see `interface.Runtime`.

        Raises:
            UserError: the processor does not offer the precision.
        """
        import openvino

        self.facts(device)
        core = openvino.Core()
        if self.precision != "float32" and not _offers(core, self.precision):
            raise UserError(f"runtime.precision={self.precision}: OpenVINO lacks it on this CPU")
        model = _convert(module, image_size)
        settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.precision],
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_NUM_THREADS": thread_count(),
            "ENABLE_CPU_PINNING": False,  # several processes would all pin to the first cores
        }
        return _OpenVinoModel(core.compile_model(model, "CPU", settings))


@dataclass(frozen=True, kw_only=True)
class AutoRuntime:
    """OpenVINO on a CPU where it is installed, else PyTorch.

    Attributes:
        precision: as for the runtime that is chosen.
        tf32: likewise.
    """

    precision: str = "float32"
    tf32: bool = False

    def __post_init__(self) -> None:
        _check_precision(self.precision)

    def facts(self, device: str) -> dict[str, str]:
        """Return the facts of the runtime that is chosen."""
        return self._choose(device).facts(device)

    def compile(self, module: nn.Module, image_size: Size, device: str) -> Model:
        """Compile with the runtime that is chosen."""
        return self._choose(device).compile(module, image_size, device)

    def _choose(self, device: str) -> TorchRuntime | OpenVinoRuntime:
        if resolve_device(device) == "cpu" and find_spec("openvino"):
            return OpenVinoRuntime(precision=self.precision)
        return TorchRuntime(precision=self.precision, tf32=self.tf32)


class _TorchModel:
    """Runs batches, and halves them for good when memory is short."""

    def __init__(
        self,
        module: nn.Module,
        device: torch.device,
        precision: torch.dtype,
        tf32: bool,
    ) -> None:
        import torch

        self.module = module.to(device).to(memory_format=torch.channels_last)
        self.device = device
        self.precision = precision
        self.tf32 = tf32
        self.largest: int | None = None

    def __call__(self, pixels: Pixels) -> list[Features]:
        import torch

        size = min(len(pixels), self.largest or len(pixels))
        try:
            parts = [
                self._run(pixels[start : start + size]) for start in range(0, len(pixels), size)
            ]
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            self.largest = size // 2
            logger.warning(
                "%s is out of memory: going on with batches of %d", self.device, size // 2
            )
        else:
            return [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]
        return self(pixels)

    def _run(self, pixels: Pixels) -> list[Features]:
        import torch

        batch = torch.from_numpy(pixels)
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        rounded = self.precision != torch.float32
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, self.precision, enabled=rounded),
        ):
            blocks = self.module(batch.to(self.device, non_blocking=True))
        return [block.float().cpu().numpy() for block in blocks]


class _OneByOne:
    """Runs a batch as single images, several at once, each on a thread of its own.

    So an image's features depend neither on the batch it is in nor on the number of threads, and
    its activations fit into a core's cache.
    """

    def __init__(self, model: _TorchModel) -> None:
        import torch

        self.model = model
        self.threads = ThreadPoolExecutor(thread_count(), "torch", torch.set_num_threads, (1,))

    def __call__(self, pixels: Pixels) -> list[Features]:
        images = [pixels[row : row + 1] for row in range(len(pixels))]
        parts = self.threads.map(self.model, images)
        return [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]


class _InTurn:
    """Runs one batch at a time in the whole process, as a GPU does anyway.

    A batch then finds the memory that it would find alone, and its own model's TF32 flags.
    """

    turn = Lock()

    def __init__(self, model: _TorchModel) -> None:
        self.model = model

    def __call__(self, pixels: Pixels) -> list[Features]:
        import torch

        with self.turn:
            # The process's, not the model's: another model may have set them meanwhile.
            torch.backends.cuda.matmul.allow_tf32 = self.model.tf32
            torch.backends.cudnn.allow_tf32 = self.model.tf32
            return self.model(pixels)


class _OpenVinoModel:
    """Runs a batch as single images, on all the processor's streams at once.

    So an image's features do not depend on the batch it is in, and no batch has to be filled up.
    """

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self.shapes = [tuple(output.shape)[1:] for output in compiled.outputs]
        self.requests = InferRequests(compiled)

    def __call__(self, pixels: Pixels) -> list[Features]:
        features = [np.empty((len(pixels), *shape), np.float32) for shape in self.shapes]
        rows = iter(range(len(pixels)))

        def keep(outputs: list[Features]) -> None:
            row = next(rows)
            for block, output in zip(features, outputs, strict=True):
                block[row] = output[0]

        self.requests.run((pixels[row : row + 1] for row in range(len(pixels))), keep)
        return features


def _convert(module: nn.Module, image_size: Size) -> openvino.Model:
    """Trace the module on one image; tracing it ourselves skips OpenVINO's second run of it."""
    import warnings

    import openvino
    import torch

    example = torch.zeros((1, *height_and_width(image_size), 3), dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, on shapes that are fixed here
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        return openvino.convert_model(traced, input=list(example.shape))


def _offers(core: openvino.Core, precision: str) -> bool:
    name = {"bfloat16": "BF16", "float16": "FP16"}[precision]
    return name in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
