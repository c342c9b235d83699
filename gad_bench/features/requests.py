"""OpenVINO's inference requests, shared by all who call a model at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING

from gad_bench.features.interface import Features, Pixels

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest


class InferRequests:
    """A fixed number of requests, whatever the number of callers.

    A caller takes a request for each image, waits for it and gives it back: nobody but who started
    a request reads its results or meets its error. No caller holds more than its share, and none
    waits for another's while it holds one itself.
    """

    def __init__(self, compiled: CompiledModel) -> None:
        # Twice the streams: one image waits behind each that is computed, so none has to idle.
        self.count = 2 * int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.idle: SimpleQueue[InferRequest] = SimpleQueue()
        for _ in range(self.count):
            self.idle.put(compiled.create_infer_request())
        self.callers = 0
        self.lock = Lock()

    def run(self, images: Iterable[Pixels], keep: Callable[[list[Features]], None]) -> None:
        """Run images uint8 [1, S, S, 3].

        Args:
            images: each in the network's own size.
            keep: called with the outputs of each image, in order; they are the request's own
                memory, to be copied.

        Raises:
            RuntimeError: an image cannot be run.
        """
        started: deque[InferRequest] = deque()
        with self._one_more_caller():
            try:
                for image in images:
                    while (request := self._take(len(started))) is None:
                        self._finish(started, keep)
                    started.append(request)
                    request.start_async(image, share_inputs=True)
                while started:
                    self._finish(started, keep)
            finally:
                for request in started:
                    self._abandon(request)

    def _take(self, held: int) -> InferRequest | None:
        """Take a request; None where the caller has to finish one that it holds first."""
        if not held:
            return self.idle.get()
        if held >= self.count // self.callers:
            return None
        try:
            return self.idle.get_nowait()
        except Empty:
            return None

    def _finish(self, started: deque[InferRequest], keep: Callable[[list[Features]], None]) -> None:
        """Keep the outputs of the caller's first request, and give it back."""
        started[0].wait()
        keep([tensor.data for tensor in started[0].output_tensors])
        self.idle.put(started.popleft())

    def _abandon(self, request: InferRequest) -> None:
        """Give back a request whose caller met an error, when it has ended, in whatever way."""
        try:
            request.wait()
        except RuntimeError:  # its own, which nobody waits for any more
            pass
        finally:
            self.idle.put(request)

    @contextmanager
    def _one_more_caller(self) -> Iterator[None]:
        with self.lock:
            self.callers += 1
        try:
            yield
        finally:
            with self.lock:
                self.callers -= 1
