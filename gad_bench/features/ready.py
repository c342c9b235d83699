"""Models that stay ready: built and compiled once, however many ask for them at a time."""

from __future__ import annotations

import json
from threading import Lock
from weakref import WeakValueDictionary

from gad_bench.features.interface import Model, Work

MOST = 2
"""Models: one for vectors and one for maps."""

_building = Lock()
"""One at a time: to build sets the process's random state and its warnings."""
_alive: WeakValueDictionary[str, Model] = WeakValueDictionary()
"""Whatever anybody keeps or runs, by key; for whoever holds `_building`."""


class ReadyModels:
    """The models that were used last.

    What another keeps is shared. A pickled one comes back empty: models belong to their process.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Model] = {}
        self.lock = Lock()

    def __reduce__(self) -> tuple[type[ReadyModels], tuple[()]]:
        """Leave the models behind."""
        return ReadyModels, ()

    def ready(self, work: Work) -> Model:
        """Return the model, which is built and compiled unless somebody has it."""
        key = _key(work)
        with self.lock:
            model = self.kept.get(key)
        if model is None:
            model = _shared(key, work)
        with self.lock:
            self.kept.pop(key, None)
            self.kept[key] = model
            while len(self.kept) > MOST:
                self.kept.pop(next(iter(self.kept)))
        return model


_OF_PROCESS = ReadyModels()


def ready_model(work: Work) -> Model:
    """Return the model that does the work, and keep it where the work says, or for the process."""
    return (work.encoder.models or _OF_PROCESS).ready(work)


def _key(work: Work) -> str:
    return json.dumps([work.encoder.facts(), work.deepest, work.encoder.device], sort_keys=True)


def _shared(key: str, work: Work) -> Model:
    with _building:
        model = _alive.get(key)
        if model is None:
            encoder, backbone = work.encoder, work.encoder.backbone
            module = backbone.build(work.deepest)
            model = encoder.runtime.compile(module, backbone.image_size(), encoder.device)
            _alive[key] = model
    return model
