"""Milliseconds to decode an image and resize it to a backbone's input, by library.

    pip install imagecodecs simplejpeg      # if they are to be compared, too
    python benchmarks/decoding.py [--images DIR] [--size 380]

Without a folder, the demo's photographs enlarged to 900 x 900 are taken, as PNG and as JPEG. All
libraries run in one process and one thread, in turn; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from gad_bench.data.demo.photograph import photograph_good
from gad_bench.data.images import SUFFIXES, read_image

SIDE = 900
OURS = "OpenCV, as used here"
Decode = Callable[[Path], NDArray[np.uint8]]


def by_pillow(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def by_torchvision(path: Path) -> NDArray[np.uint8]:
    encoded = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    return decode_image(encoded, ImageReadMode.RGB).permute(1, 2, 0).contiguous().numpy()


def by_imagecodecs(path: Path) -> NDArray[np.uint8]:
    import imagecodecs

    decode = imagecodecs.png_decode if path.suffix == ".png" else imagecodecs.jpeg8_decode
    return decode(path.read_bytes())


def by_simplejpeg(path: Path) -> NDArray[np.uint8]:
    import simplejpeg

    return simplejpeg.decode_jpeg(path.read_bytes())


def libraries(kind: str) -> dict[str, Decode]:
    """Return those that are installed and read the kind of file."""
    found: dict[str, Decode] = {
        OURS: read_image,
        "Pillow": by_pillow,
        "torchvision.io": by_torchvision,
    }
    if find_spec("imagecodecs"):
        found["imagecodecs"] = by_imagecodecs
    if find_spec("simplejpeg") and kind in (".jpg", ".jpeg"):
        found["simplejpeg"] = by_simplejpeg
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, help="a folder of images")
    parser.add_argument("--size", type=int, default=380)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        kinds = files_by_kind(arguments.images or generated(Path(folder)))
        print("| kind | library | ms an image | of it resizing | times ours | pixels that differ |")
        print("|---|---|---|---|---|---|")
        for kind, paths in kinds.items():
            compare(kind, paths, arguments.size, arguments.rounds)


def generated(folder: Path, count: int = 8) -> Path:
    for number in range(count):
        picture = cv2.resize(photograph_good("wood", 0, number), (SIDE, SIDE))[..., ::-1]
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        cv2.imwrite(str(folder / f"{number}.jpg"), picture)
    return folder


def files_by_kind(folder: Path) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in SUFFIXES:
            kinds.setdefault(path.suffix, []).append(path)
    return {kind: paths[:32] for kind, paths in kinds.items()}


def compare(kind: str, paths: Sequence[Path], size: int, rounds: int) -> None:
    compared = libraries(kind)
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    resizing: list[float] = []
    for _ in range(rounds):
        for name, decode in compared.items():
            started = time.perf_counter()
            images = [decode(path) for path in paths]
            decoded = time.perf_counter()
            for image in images:
                cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
            seconds[name].append(time.perf_counter() - started)
            resizing.append(time.perf_counter() - decoded)
    share = median(resizing) / len(paths)
    for name, own in seconds.items():
        ratio = median(mine / ours for mine, ours in zip(own, seconds[OURS], strict=True))
        differ = sum(int((compared[name](path) != read_image(path)).sum()) for path in paths)
        print(
            f"| {kind} | {name} | {1000 * median(own) / len(paths):.2f} | {1000 * share:.2f} "
            f"| {ratio:.2f} | {differ} |"
        )


if __name__ == "__main__":
    main()
