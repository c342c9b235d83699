"""Everything about one GPU in under ten minutes: is it right, how fast is it, what holds it up.

    python benchmarks/gpu.py --output FOLDER [--weights FOLDER]
    python benchmarks/gpu.py --output FOLDER --device cpu --quick    # in the GPU's place, to try it

Writes gpu.json, anew after every finding, and gpu.md. Each part runs in a process of its own, with
its own share of the time: one that fails, hangs or breaks the GPU's context costs the others
nothing. --weights names a folder with tf_efficientnet_b4.pth, mobilenetv2_100.pth and
resnet18_layer3.pth; what is not there gets random weights. The status is 0 where every part ended
and every check held.

It needs torch, torchvision, timm, OpenCV, Pillow, numpy, SciPy, pandas, scikit-learn, safetensors,
joblib, threadpoolctl, filelock and tqdm, and of gad_bench nothing that needs Hydra, MLflow or
OpenVINO. What is missed more often are faiss and pytest; a machine without a network gets them as
wheels of 31 MB:

    pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \\
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 -d wheels faiss-cpu
    pip install --no-index --no-deps --target site wheels/*.whl    # there; then PYTHONPATH=site
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import gpu_checks
import gpu_linear_algebra
import gpu_machine
import gpu_speed
import timm  # here: every part's process is a fork of this one, and need not import it again
import torch
from gpu_networks import Row, Settings

from gad_bench.base.files import write_text

LIMIT = 590
"""Seconds of all parts together."""
END = None
"""What a part's process sends last."""
Measurement = Callable[[Settings], Iterator[Row]]


@dataclass(frozen=True)
class Part:
    """Measurements that share a process and a table."""

    title: str
    seconds: float
    measurements: Sequence[Measurement]


PARTS = {
    "machine": Part("The machine", 25, [gpu_machine.describe, gpu_machine.products]),
    "features": Part(
        "Features, against the CPU's",
        70,
        [partial(gpu_checks.features, name=name) for name in gpu_checks.NAMES],
    ),
    "pipeline": Part(
        "Short memory, kept images, heat maps and patch detectors",
        70,
        [
            gpu_checks.short_memory,
            gpu_checks.kept_images,
            gpu_checks.heat_maps,
            gpu_checks.patch_detectors,
        ],
    ),
    "tests": Part("tests/features/test_gpu.py", 60, [gpu_checks.own_tests]),
    "bare": Part(
        "The bare model, images on the card",
        75,
        [partial(gpu_speed.bare, name=name) for name in gpu_speed.NAMES],
    ),
    "files": Part(
        "From files to features in the store",
        120,
        [partial(gpu_speed.from_files, name=name) for name in gpu_speed.NAMES],
    ),
    "linear_algebra": Part(
        "Coreset, nearest neighbours and covariances on the card",
        50,
        [
            gpu_linear_algebra.coreset,
            gpu_linear_algebra.nearest,
            gpu_linear_algebra.covariances,
        ],
    ),
    "latency": Part(
        "One image at a time, from memory to features in memory",
        40,
        [partial(gpu_speed.latency, name=name) for name in gpu_speed.NAMES],
    ),
    "compiled": Part(
        "torch.compile, images on the card",
        80,
        [partial(gpu_speed.compiled, name=name) for name in gpu_speed.NAMES],
    ),
}


class Record:
    """What is found, on disk at every moment."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.content: dict[str, Any] = {**about, "parts": {}}

    def begin(self, name: str) -> None:
        part = {"title": PARTS[name].title, "status": "running", "seconds": 0.0, "rows": []}
        self.content["parts"][name] = part
        self.write()

    def add(self, name: str, row: Row) -> None:
        self.content["parts"][name]["rows"].append(row)
        self.write()
        print(f"{name}: {', '.join(f'{key} {text(row[key])}' for key in row)}", flush=True)

    def end(self, name: str, status: str, seconds: float) -> None:
        self.content["parts"][name] |= {"status": status, "seconds": round(seconds, 1)}
        self.write()
        print(f"{name}: {status} after {seconds:.0f} s", flush=True)

    def write(self) -> None:
        write_text(self.folder / "gpu.json", json.dumps(self.content, indent=1) + "\n")
        write_text(self.folder / "gpu.md", to_markdown(self.content))

    def is_good(self) -> bool:
        parts = self.content["parts"].values()
        rows = [row for part in parts for row in part["rows"]]
        return all(part["status"] == "done" for part in parts) and not any(
            "error" in row or row.get("holds") is False for row in rows
        )


def main() -> int:
    arguments = parse()
    logging.basicConfig(level=logging.WARNING)
    arguments.output.mkdir(parents=True, exist_ok=True)
    record = Record(
        arguments.output,
        {"device": arguments.device, "quick": arguments.quick, "timm": timm.__version__},
    )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            device=arguments.device,
            quick=arguments.quick,
            weights=arguments.weights,
            folder=Path(folder),
        )
        for name in arguments.only:
            left = LIMIT - (time.perf_counter() - started)
            carry_out(name, settings, record, min(PARTS[name].seconds, left))
    print(f"{time.perf_counter() - started:.0f} s in all: {arguments.output / 'gpu.md'}")
    return 0 if record.is_good() else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu in its place")
    parser.add_argument("--weights", type=Path, help="a folder of checkpoints")
    parser.add_argument("--quick", action="store_true", help="tiny images, to try the script")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    return parser.parse_args()


def carry_out(name: str, settings: Settings, record: Record, seconds: float) -> None:
    """Carry a part out in a process of its own, and stop it when its time is up.

    The process is a fork from before any use of the GPU, whose context no fork survives.
    """
    record.begin(name)
    started = time.perf_counter()
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=send_findings, args=(PARTS[name], settings, sender))
    process.start()
    sender.close()
    status = f"stopped: its {seconds:.0f} s were up"
    while (left := started + seconds - time.perf_counter()) > 0:
        ready = wait([receiver, process.sentinel], timeout=left)
        if receiver not in ready:
            if ready:
                status = f"its process ended with status {process.exitcode}"
            break
        try:
            row = receiver.recv()
        except EOFError:
            process.join(1)
            status = f"its process ended with status {process.exitcode}"
            break
        if row is END:
            status = "done"
            break
        record.add(name, row)
    end(process.pid)
    process.join()
    record.end(name, status, time.perf_counter() - started)


def send_findings(part: Part, settings: Settings, sender: Connection) -> None:
    os.setsid()  # what it starts is ended with it
    if settings.quick:
        torch.set_num_threads(1)
    for measurement in part.measurements:
        try:
            for row in measurement(settings):
                sender.send(row)
        except Exception as error:
            traceback.print_exc()
            reason = " ".join(str(error).split())[:300]
            called = measurement.func if isinstance(measurement, partial) else measurement
            about = measurement.keywords if isinstance(measurement, partial) else {}
            what = getattr(called, "__name__", "")
            sender.send({"what": what, **about, "error": f"{type(error).__name__}: {reason}"})
    sender.send(END)


def end(group: int | None) -> None:
    try:
        os.killpg(group or 0, signal.SIGKILL) if group else None
    except ProcessLookupError:
        return


def to_markdown(content: Mapping[str, Any]) -> str:
    rows = [f"# One GPU: device={content['device']}{', --quick' if content['quick'] else ''}"]
    for part in content["parts"].values():
        rows += ["", f"## {part['title']}", ""]
        rows += table(part["rows"])
        if part["status"] != "done":
            rows += ["", f"{part['status']}."]
    return "\n".join(rows) + "\n"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table of rows; of all their columns, in the order in which they come up."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        return
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(text(row.get(column)) for column in columns)} |"


def text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value).replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
