"""Images per second on a GPU, and what holds them up: part of benchmarks/gpu.py."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
import torch
from decoding import generated
from extraction import Extraction, Files, Ours, Run, in_memory, read_all, to_store
from gpu_networks import NETWORKS, QUICK, Row, Settings, seconds_of, smooth_images
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gad_bench.base.process import thread_count
from gad_bench.features.interface import Backbone, Pixels, Size
from gad_bench.features.runtime import TorchRuntime

NAMES = ("EfficientNet-B4", "DINOv2 ViT-B/14", "ResNet-18", "Wide-ResNet-50-2", "EfficientNet-B0")
PHOTOGRAPHS = 24
"""Files of each kind, which are read again and again: from memory, as the system keeps them."""
SECONDS = 1.0
"""How long a pass from files should take."""
PASSES = 10
"""Of a batch that the card holds."""
SINGLES = 50
"""Images, one at a time."""
NEARLY = 0.9
"""A step this near to the whole is what holds it up."""


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How a network is calculated."""

    name: str
    precision: torch.dtype = torch.float32
    tf32: bool = False
    channels_last: bool = True

    @contextlib.contextmanager
    def applied(self, settings: Settings) -> Iterator[None]:
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        torch.backends.cudnn.allow_tf32 = self.tf32
        kind, rounded = torch.device(settings.device).type, self.precision != torch.float32
        with (
            torch.inference_mode(),
            torch.autocast(kind, self.precision, enabled=rounded, cache_enabled=False),
        ):
            yield

    def place(self, module: nn.Module, settings: Settings) -> nn.Module:
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return module.to(settings.device).to(memory_format=layout)


FLOAT32 = Arithmetic(name="float32")
TF32 = Arithmetic(name="TF32", tf32=True)
BFLOAT16 = Arithmetic(name="bfloat16", precision=torch.bfloat16)
PLAIN = Arithmetic(name="plain", channels_last=False)
COMPARED = (
    PLAIN,
    FLOAT32,
    Arithmetic(name="TF32, channels first", tf32=True, channels_last=False),
    TF32,
    Arithmetic(name="bfloat16, channels first", precision=torch.bfloat16, channels_last=False),
    BFLOAT16,
)


def bare(settings: Settings, name: str) -> Iterator[Row]:
    """The network alone: by arithmetic, and replayed as a CUDA graph."""
    if settings.quick and name not in QUICK[:1]:
        return
    network = NETWORKS[name]
    backbone, batch = network.backbone(settings), network.batch_for(settings)
    pixels = on_card(settings, batch, backbone.image_size())
    module, first = built(backbone), None
    for arithmetic in COMPARED:
        module = arithmetic.place(module, settings)
        with arithmetic.applied(settings):
            rate = batch / seconds_of(partial(module, pixels), settings, passes=PASSES)
            first = first or rate
            yield _bare_row(name, batch, arithmetic.name, rate, first)
            if settings.on_gpu and arithmetic in (TF32, BFLOAT16):
                rate = batch / seconds_of(Captured(module, pixels).replay, settings, passes=PASSES)
                yield _bare_row(name, batch, f"{arithmetic.name}, CUDA graph", rate, first)


def compiled(settings: Settings, name: str) -> Iterator[Row]:
    """torch.compile beside the same without; its compilation is timed, too."""
    if not settings.on_gpu or (settings.quick and name not in QUICK[:1]):
        return
    network = NETWORKS[name]
    backbone, batch = network.backbone(settings), network.batch_for(settings)
    pixels = on_card(settings, batch, backbone.image_size())
    module = BFLOAT16.place(built(backbone), settings)
    with BFLOAT16.applied(settings):
        eager = seconds_of(partial(module, pixels), settings, passes=PASSES)
        quick = torch.compile(module)
        first = seconds_of_first(partial(quick, pixels), settings)
        rate = batch / seconds_of(partial(quick, pixels), settings, passes=PASSES)
    row = _bare_row(name, batch, "bfloat16, torch.compile", rate, batch / eager)
    times = row.pop("times plain")
    yield row | {"times bfloat16 alone": times, "compilation, s": first}


def _bare_row(name: str, batch: int, arithmetic: str, rate: float, first: float) -> Row:
    return {
        "network": name,
        "batch": batch,
        "arithmetic": arithmetic,
        "images/s": rate,
        "times plain": rate / first,
    }


def seconds_of_first(run: Run, settings: Settings) -> float:
    started = perf_counter()
    run()
    if settings.on_gpu:
        torch.cuda.synchronize()
    return perf_counter() - started


def from_files(settings: Settings, name: str) -> Iterator[Row]:
    """From PNG, JPEG and kept images to the store, beside PyTorch's loader, and the bottleneck."""
    if settings.quick and name not in QUICK[:1]:
        return
    network = NETWORKS[name]
    backbone, batch = network.backbone(settings), network.batch_for(settings)
    runtime = TorchRuntime(precision="bfloat16")
    ours = Ours(backbone, runtime, settings.device, batch)
    size = backbone.image_size()
    modules = {each: each.place(built(backbone), settings) for each in (BFLOAT16, PLAIN)}
    with BFLOAT16.applied(settings):
        pixels, module = on_card(settings, batch, size), modules[BFLOAT16]
        model = batch / seconds_of(partial(module, pixels), settings, passes=PASSES)
    few = files(settings)
    for kind, paths in few.items():
        reading = len(paths) / seconds_of(partial(read_all, paths, size), settings)
        source = Source(settings=settings, ours=ours, modules=modules, paths=paths, batch=batch)
        yield source.measured(ours, kind, {"the model": model, "reading": reading}, name)
    kept_of = ours.keeping(few["PNG"], settings.folder / "kept")
    source = Source(settings=settings, ours=ours, modules=modules, paths=few["PNG"], batch=batch)
    yield source.measured(kept_of, "kept", {"the model": model}, name)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files of one kind, to one network.

    Attributes:
        settings: of all measurements.
        ours: the extraction.
        modules: the network for a plain script, by arithmetic.
        paths: the files.
        batch: images a pass.
    """

    settings: Settings
    ours: Ours
    modules: Mapping[Arithmetic, nn.Module]
    paths: Sequence[str]
    batch: int

    def measured(
        self,
        run: Callable[[Sequence[str]], Extraction],
        kind: str,
        limits: dict[str, float],
        name: str,
    ) -> Row:
        """Return a row: ours, PyTorch's own loader at the same precision and as it comes."""
        paths = self._many(min(limits.values()))
        once = in_memory(self.ours, paths[: self.batch])
        limits |= {"calls of the runtime": self.batch / seconds_of(once, self.settings)}
        rate = len(paths) / seconds_of(to_store(paths, run), self.settings)
        row: Row = {
            "network": name,
            "source": kind,
            "images": len(paths),
            "images/s": rate,
            "of the bare model": rate / limits["the model"],
        }
        if "reading" in limits:
            row["of reading alone"] = rate / limits["reading"]
        for label, arithmetic in (("plain bfloat16", BFLOAT16), ("plain", PLAIN)):
            own = len(paths) / seconds_of(to_store(paths, self._plain(arithmetic, paths)),
                                          self.settings, rounds=2)  # fmt: skip
            row |= {f"{label}, images/s": own, f"times {label}": rate / own}
        return row | {"bottleneck": bottleneck(limits, rate)}

    def _many(self, rate: float) -> list[str]:
        """Repeat the files to a second's worth and whole batches, two at least."""
        batches = 2 if self.settings.quick else max(math.ceil(rate * SECONDS / self.batch), 2)
        count = batches * self.batch
        return [self.paths[number % len(self.paths)] for number in range(count)]

    def _plain(
        self, arithmetic: Arithmetic, paths: Sequence[str]
    ) -> Callable[[Sequence[str]], Extraction]:
        """What a script does: PyTorch's loader, whose processes stay, and an eager network."""
        module = self.modules[arithmetic]
        loader = DataLoader(
            Files(paths, self.ours.size),
            self.batch,
            num_workers=min(thread_count(), 16),
            pin_memory=self.settings.on_gpu,
            persistent_workers=True,
        )

        def run(_: Sequence[str]) -> Extraction:
            for batch in loader:
                with arithmetic.applied(self.settings):
                    blocks = module(batch.to(self.settings.device, non_blocking=True))
                    read = [block.float().cpu().numpy() for block in blocks]
                yield tuple(read)

        return run


def bottleneck(limits: dict[str, float], rate: float) -> str:
    """Name the slowest step; none where the whole is far slower than it."""
    slowest = min(limits, key=lambda step: limits[step])
    share = rate / limits[slowest]
    if share < NEARLY:
        return f"none alone: {share:.2f} of {slowest}, {limits[slowest]:.0f} images/s"
    return f"{slowest}, {limits[slowest]:.0f} images/s"


def latency(settings: Settings, name: str) -> Iterator[Row]:
    """Milliseconds of an image alone."""
    if settings.quick and name not in QUICK[:1]:
        return
    network = NETWORKS[name]
    backbone, size = network.backbone(settings), network.size_for(settings)
    image = smooth_images(1, size)
    ways: dict[str, Callable[[], object]] = {}
    for label, runtime in (
        ("runtime=torch, float32", TorchRuntime()),
        ("runtime=torch, bfloat16", TorchRuntime(precision="bfloat16")),
    ):
        ways[label] = partial(Ours(backbone, runtime, settings.device, 1).model, image)
    plain = PLAIN.place(built(backbone), settings)
    ways["plain PyTorch, float32"] = lambda: fetched(PLAIN, plain, image, settings)
    if settings.on_gpu:
        ways["CUDA graph, bfloat16"] = replayed(BFLOAT16, built(backbone), image, settings)
    singles = 3 if settings.quick else SINGLES
    for label, way in ways.items():

        def one_by_one(way: Callable[[], object] = way) -> None:
            for _ in range(singles):
                way()

        seconds = seconds_of(one_by_one, settings) / singles
        yield {"network": name, "way": label, "ms an image": 1000 * seconds}


def fetched(
    arithmetic: Arithmetic, module: nn.Module, image: Pixels, settings: Settings
) -> list[object]:
    with arithmetic.applied(settings):
        blocks = module(torch.from_numpy(image).to(settings.device))
        return [block.float().cpu().numpy() for block in blocks]


def replayed(
    arithmetic: Arithmetic, module: nn.Module, image: Pixels, settings: Settings
) -> Callable[[], object]:
    pixels = torch.from_numpy(image).to(settings.device)
    with arithmetic.applied(settings):
        graph = Captured(arithmetic.place(module, settings), pixels)

    def run() -> list[object]:
        pixels.copy_(torch.from_numpy(image))
        graph.replay()
        return [block.float().cpu().numpy() for block in graph.blocks]

    return run


class Captured:
    """A pass captured as a CUDA graph; to be made and replayed where its arithmetic is applied.

    Attributes:
        blocks: the captured pass's output, anew after each replay.
    """

    def __init__(self, module: nn.Module, pixels: Tensor) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries choose their kernels
                module(pixels)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.blocks: Sequence[Tensor] = module(pixels)

    def replay(self) -> None:
        self.graph.replay()


def built(backbone: Backbone) -> nn.Module:
    return backbone.build(backbone.block_count() - 1)


def on_card(settings: Settings, count: int, size: Size) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(smooth_images(count, size))).to(settings.device)


def files(settings: Settings) -> dict[str, list[str]]:
    """Generate photographs of 900 x 900, unless they are there."""
    folder = settings.folder / "photographs"
    if not folder.is_dir():
        folder.mkdir()
        generated(folder, 2 if settings.quick else PHOTOGRAPHS)
    return {
        kind: [str(path) for path in sorted(folder.glob(f"*.{suffix}"))]
        for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"))
    }
