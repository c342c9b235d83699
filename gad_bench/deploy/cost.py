"""What a fitted detector costs where it runs: time and memory an image, and its size."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig

from gad_bench.base.errors import UserError
from gad_bench.base.process import PeakMemory, resolve_device
from gad_bench.data.images import read_image
from gad_bench.data.split import Split
from gad_bench.deploy.detector import SavedDetector, Scorer
from gad_bench.deploy.format import Arrays, encode, write_folder
from gad_bench.deploy.rule import DecisionRule
from gad_bench.gaussian.baselines import IsolationForest
from gad_bench.steps.evidence import Evidence, Model
from gad_bench.steps.parts import Parts
from gad_bench.trained import ImageDetector

WARM_UP = 3
CALLS, SECONDS = 100, 4.0  # of latency: so many, or as many as take so long, but no fewer than 20
FEWEST = 20
IMAGES = 32  # that are held in memory, decoded
MEGA = 1e6

Images = list[NDArray[np.uint8]]


def check_measurable(detector: object) -> None:
    """Refuse to measure what this module does not know how to carry out.

    Raises:
        UserError: a network that is trained on the images.
    """
    if isinstance(detector, ImageDetector):
        raise UserError(
            "cost=true measures detectors on features, and this one is a network of its own: "
            "use cost=false"
        )


def measure_cost(
    config: DictConfig,
    parts: Parts,
    evidence: Evidence,
    split: Split,
    catalog: pd.DataFrame,
    model: Model,
) -> dict[str, float]:
    """Measure a fold's detector on the run's device, as it would score new images.

    - cost_latency_ms, cost_latency_p95_ms: from one decoded image in memory to its score, median
      and 95th percentile, after a warm-up; without a decision, which a calibration may lengthen.
    - cost_images_per_second: in batches of the run's size.
    - cost_seconds_fit: to fit once more, features at hand.
    - cost_memory_mb, cost_device_memory_mb: the process's and the GPU's peak while it scores.
    - cost_size_mb: what is saved of the detector, without the backbone's weights and the
      calibration; none of a detector that cannot be saved.

    Raises:
        UserError: an image cannot be read.
    """
    started = time.perf_counter()
    evidence.fit(split)
    seconds_fit = time.perf_counter() - started
    paths = catalog["path"].iloc[[*split.test, *split.train][:IMAGES]]
    images = [read_image(path) for path in paths]
    detector = _detector(config, parts, model)
    device = resolve_device(config.device)
    for number in range(WARM_UP):
        detector.predict([images[number % len(images)]], heat_maps=False)
    with PeakMemory(device) as memory:
        latencies = _latencies(lambda one: detector.predict([one], heat_maps=False), images)
        rate = _images_per_second(detector, images)
    of_device = {} if memory.device is None else {"cost_device_memory_mb": memory.device / MEGA}
    return {
        "cost_latency_ms": 1000 * float(np.median(latencies)),
        "cost_latency_p95_ms": 1000 * float(np.quantile(latencies, 0.95)),
        "cost_images_per_second": rate,
        "cost_seconds_fit": seconds_fit,
        "cost_memory_mb": memory.process / MEGA,
        **of_device,
        **_size(parts, detector.scorer),
    }


def _detector(config: DictConfig, parts: Parts, model: Model) -> SavedDetector:
    undecided = DecisionRule(
        fpr=parts.threshold.fpr,
        rate=parts.threshold.fpr,
        method=None,
        threshold=None,
        calibration=None,
        fits=(),
        laws={},
        sigmas={},
    )
    scorer = Scorer(
        backbone=parts.backbone,
        runtime=parts.runtime,
        model=model,
        rule=undecided,
        localisation=None,
        precision=parts.maps.precision,
    )
    return SavedDetector(
        scorer=scorer, about={}, device=config.device, batch_size=config.batch_size
    )


def _latencies(score: Callable[[NDArray[np.uint8]], object], images: Images) -> list[float]:
    """Return the seconds of each call."""
    seconds: list[float] = []
    while len(seconds) < FEWEST or (len(seconds) < CALLS and sum(seconds) < SECONDS):
        image = images[len(seconds) % len(images)]
        started = time.perf_counter()
        score(image)
        seconds.append(time.perf_counter() - started)
    return seconds


def _images_per_second(detector: SavedDetector, images: Images) -> float:
    """Return the better of two passes over all images."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        detector.predict(images, heat_maps=False)
        seconds.append(time.perf_counter() - started)
    return len(images) / min(seconds)


def _size(parts: Parts, scorer: Scorer) -> dict[str, float]:
    if isinstance(parts.detector, IsolationForest):
        return {}
    arrays: Arrays = {}
    facts = {"scorer": encode(scorer, "scorer", arrays)}
    with TemporaryDirectory() as place:
        folder = Path(place, "detector")
        write_folder(folder, facts, arrays, config="")
        size = sum(file.stat().st_size for file in folder.iterdir())
    return {"cost_size_mb": size / MEGA}
