"""The images that networks are trained on, and where what was trained is kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig

from gad_bench.base.files import json_digest
from gad_bench.base.process import resolve_device, thread_count
from gad_bench.data.fingerprint import Fingerprint
from gad_bench.data.split import Rows, Split
from gad_bench.features.extraction import READING
from gad_bench.features.interface import Pixels
from gad_bench.features.source import FeatureSource
from gad_bench.steps.identity import versions
from gad_bench.steps.parts import Parts
from gad_bench.trained import ImageDetector
from gad_bench.trained.schedule import Lesson

STORE = "training-v1"  # the folder of trained networks in the cache
DEPEND_ON = ("version.torch", "version.timm", "version.lightning")


class KeptNetworks(NamedTuple):
    """Where a run's trained networks are kept, the last of them in this folder."""

    path: Path
    images_digest: str
    images_per_second: float | None = None


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """All images of a run as the backbone takes them, with their labels.

    Attributes:
        pixels: uint8 [images, S, S, 3] RGB.
        labels: [images], 1 for anomalous.
        digests: of the images' content.
        device: where networks are trained, as `resolve_device` names it.
        facts: as JSON values, all that changes trained weights beside the images.
        store: the folder of trained networks.
        seconds: what it took to read the images.
    """

    pixels: Pixels
    labels: NDArray[np.integer]
    digests: Sequence[str]
    device: str
    facts: Mapping[str, Any]
    store: Path
    seconds: float

    def of(self, split: Split) -> Lesson:
        """Return what a fold's network is trained on and judged by."""
        return Lesson(
            train=self.pixels[split.train],
            train_labels=self.labels[split.train],
            validation=self.pixels[split.validation],
            validation_labels=self.labels[split.validation],
        )

    def folder(self, split: Split) -> Path:
        """Return where a fold's network is kept: by all that changes its weights."""
        images = {"train": self._named(split.train), "validation": self._named(split.validation)}
        return self.store / json_digest({**self.facts, **images})

    def _named(self, rows: Rows) -> list[tuple[str, int]]:
        return [(self.digests[row], int(self.labels[row])) for row in rows]


def read_lessons(
    config: DictConfig,
    parts: Parts,
    detector: ImageDetector,
    catalog: pd.DataFrame,
    source: FeatureSource,
    images: Fingerprint,
) -> Lessons:
    """Read all images of a catalog.

    Raises:
        UserError: names the image that cannot be read, or that changed meanwhile.
    """
    started, device, known = time.perf_counter(), resolve_device(config.device), versions()
    source.before()
    pixels = _read_all(source, images)
    facts = {
        "detector": detector.facts(),
        "backbone": dict(parts.backbone.facts()),
        "reading": READING,
        "device": device.partition(":")[0],
        "versions": {name: known.get(name, "") for name in DEPEND_ON},
    }
    return Lessons(
        pixels=pixels,
        labels=catalog["label"].to_numpy(),
        digests=images.digests,
        device=device,
        facts=facts,
        store=Path(config.cache_dir).expanduser() / STORE,
        seconds=time.perf_counter() - started,
    )


def _read_all(source: FeatureSource, images: Fingerprint) -> Pixels:
    """Read images on several threads: uint8 [images, S, S, 3] RGB."""
    reader, rows = source.reader(images), range(len(images.paths))
    with ThreadPoolExecutor(thread_count()) as threads:
        pixels = list(threads.map(lambda row: reader(row)(), rows))
    images.require_unchanged(rows)
    return np.stack(pixels)
