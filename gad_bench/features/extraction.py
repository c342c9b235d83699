"""From image files to features: reading overlaps with the model, memory stays constant."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from gad_bench.base.process import thread_count
from gad_bench.data.images import read_image
from gad_bench.features.interface import Features, Pixels, Size, Work, height_and_width
from gad_bench.features.ready import ready_model

READING = "opencv-bilinear/1"  # raise the number when an image gives other pixels than before

Item = TypeVar("Item")
Result = TypeVar("Result")


def extract(images: Iterable[Callable[[], Pixels]], work: Work) -> Iterator[tuple[Features, ...]]:
    """Yield the features of images, in order, a batch at a time.

    Each image is read by a call, on one of several threads, that gives uint8 [H, W, 3] RGB.

    Each batch is a tuple of float32 [batch, D_i], one per block 0..deepest. While a batch is with
    the caller the next is in the model and those after it are being read.

    Raises:
        UserError: names the image that cannot be read, or what is wrong with the backbone.
    """
    model = ready_model(work)
    with _threads(thread_count()) as readers, _threads(1) as runner:
        read = _ahead(readers, lambda image: image(), images, 2 * work.encoder.batch_size)
        for features in _ahead(runner, model, _batches(read, work.encoder.batch_size), 1):
            yield tuple(features)


def show_progress(
    batches: Iterable[tuple[Features, ...]], name: str, images: int
) -> Iterator[tuple[Features, ...]]:
    """Yield the batches of a number of images, with a bar where somebody watches."""
    with tqdm(total=images, desc=name, unit="image", disable=None) as progress:
        for batch in batches:
            progress.update(len(batch[0]))
            yield batch


@dataclass(frozen=True, kw_only=True)
class Here:
    """Extraction in this process."""

    def extract(
        self, images: Iterable[Callable[[], Pixels]], work: Work
    ) -> Iterator[tuple[Features, ...]]:
        """Yield the features of images; see `interface.Extraction`."""
        return extract(images, work)


def read_input(path: str, size: Size) -> Pixels:
    """Read an image and resize it straight to the input, as the paper does: uint8 [H, W, 3] RGB."""
    return resize_input(read_image(path), size)


def resize_input(image: Pixels, size: Size) -> Pixels:
    """Resize an image uint8 [height, width, 3] straight to the input."""
    import cv2

    height, width = height_and_width(size)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _batches(images: Iterator[Pixels], batch_size: int) -> Iterator[Pixels]:
    while batch := list(islice(images, batch_size)):
        yield np.stack(batch)


@contextmanager
def _threads(count: int) -> Iterator[Executor]:
    """Give threads that are gone afterwards, whatever waits for them."""
    executor = ThreadPoolExecutor(count)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _ahead(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    depth: int,
) -> Iterator[Result]:
    """Map in order, with up to `depth` items under way beyond the one that is asked for."""
    under_way: deque[Future[Result]] = deque()
    for item in items:
        under_way.append(executor.submit(function, item))
        if len(under_way) > depth:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
