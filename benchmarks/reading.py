"""Images per second that are read into batches, by threads as here and by PyTorch's processes.

    python benchmarks/reading.py [--images DIR] [--size 380] [--count 200]

Without a folder, the demo's photographs enlarged to 900 x 900 are taken, as PNG and as JPEG; "tiny"
are images of 16 x 16, which cost next to nothing to decode: what is left is what an image costs
beside that, of which threads must do the part that needs the interpreter one after the other. All
ways run in one process, in turn; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from decoding import files_by_kind, generated
from extraction import Files
from torch.utils.data import DataLoader

from gad_bench.base.process import thread_count
from gad_bench.features.extraction import _ahead, _batches, _threads, read_input
from gad_bench.features.interface import Pixels

BATCH = 16
TINY = 16
Read = Callable[[Sequence[str], int], None]


def by_threads(paths: Sequence[str], size: int) -> None:
    calls = [partial(read_input, path, size) for path in paths]
    with _threads(thread_count()) as readers:
        use(_batches(_ahead(readers, lambda call: call(), calls, 2 * BATCH), BATCH))


def by_processes(paths: Sequence[str], size: int) -> None:
    use(DataLoader(Files(paths, size), BATCH, num_workers=thread_count()))


def use(batches: Iterator[Pixels] | DataLoader[Pixels]) -> None:
    for _ in batches:
        pass


WAYS: dict[str, Read] = {"threads": by_threads, "processes": by_processes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, help="a folder of images")
    parser.add_argument("--size", type=int, default=380)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{thread_count()} threads or processes\n")
    print("| images | threads, images/s | processes, images/s | threads to processes |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        kinds = files_by_kind(arguments.images or generated(Path(folder)))
        for kind, paths in kinds.items():
            compare(kind, paths, arguments.size, arguments.count, arguments.rounds)
        tiny = Path(folder) / "tiny.png"
        cv2.imwrite(str(tiny), np.zeros((TINY, TINY, 3), np.uint8))
        compare("tiny", [tiny], TINY, 50 * arguments.count, arguments.rounds)


def compare(kind: str, files: Sequence[Path], size: int, count: int, rounds: int) -> None:
    paths = [str(path) for path in islice(cycle(files), count)]
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, read in WAYS.items():
            started = time.perf_counter()
            read(paths, size)
            rates[name].append(count / (time.perf_counter() - started))
    ratio = median(a / b for a, b in zip(rates["threads"], rates["processes"], strict=True))
    shown = " | ".join(f"{median(own):.0f}" for own in rates.values())
    print(f"| {kind} | {shown} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
