"""Extraction by the workers of a Ray cluster, for a category that is too big for one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gad_bench.base.errors import UserError
from gad_bench.base.process import FOLDER, enter_folder
from gad_bench.features.extraction import Here
from gad_bench.features.interface import Features, Pixels, Work


@dataclass(frozen=True, kw_only=True)
class RayExtraction:
    """Tasks of some images each; the process that asks for them fills the store, in order.

    So the store's format and its lock are the same, and since an image's features depend on
    nothing but the image, so are its bytes. Ray runs a task again whose worker died. The workers
    read the images themselves: their paths must hold on every node.

    Attributes:
        images_a_task: the images of a task.
        cpus_a_task: cores, and as many threads.
        gpus_a_task: GPUs, or a share of one.
    """

    images_a_task: int
    cpus_a_task: float
    gpus_a_task: float

    def __post_init__(self) -> None:
        if self.images_a_task < 1:
            raise UserError(f"extraction.images_a_task must be at least 1: {self.images_a_task}")

    def extract(
        self, images: Iterable[Callable[[], Pixels]], work: Work
    ) -> Iterator[tuple[Features, ...]]:
        """Yield the features of images, a task's at a time; see `interface.Extraction`.

        Raises:
            UserError: Ray is not installed, or what `Here` would raise.
        """
        ray = _connected_ray()
        task = ray.remote(num_cpus=self.cpus_a_task, num_gpus=self.gpus_a_task)(_extract)
        under_way: deque[Any] = deque()
        images = iter(images)
        while of_task := list(islice(images, self.images_a_task)):
            under_way.append(task.remote(of_task, work))
            if len(under_way) > self._tasks_at_once(ray):
                yield _result(ray, under_way.popleft())
        while under_way:
            yield _result(ray, under_way.popleft())

    def _tasks_at_once(self, ray: Any) -> int:  # noqa: ANN401 - the module
        """Return twice what the cluster, as it is by now, can run: one waits for each that runs."""
        return 2 * max(int(ray.cluster_resources().get("CPU", 1) / (self.cpus_a_task or 1)), 1)


def _connected_ray() -> Any:  # noqa: ANN401 - the module
    """Return Ray, connected to the cluster that this process is in or that RAY_ADDRESS names."""
    try:
        import ray
    except ImportError as error:
        raise UserError("extraction=ray is not installed: pip install 'gad-bench[ray]'") from error
    if not ray.is_initialized():
        hook = f"{enter_folder.__module__}.{enter_folder.__name__}"
        environment = {"worker_process_setup_hook": hook, "env_vars": {FOLDER: str(Path.cwd())}}
        ray.init(runtime_env=environment)
    return ray


def _result(ray: Any, task: Any) -> tuple[Features, ...]:  # noqa: ANN401 - the module, a reference
    try:
        return tuple(ray.get(task))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def _extract(images: Iterable[Callable[[], Pixels]], work: Work) -> tuple[Features, ...]:
    """Extract a task's images, in a worker."""
    batches = list(Here().extract(images, work))
    return tuple(np.concatenate(blocks) for blocks in zip(*batches, strict=True))
