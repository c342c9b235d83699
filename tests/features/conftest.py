from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gad_bench.features import extraction
from gad_bench.features.source import _read_once


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    """Five smooth colour images, 64 x 64: noise alone would look the same to every filter."""
    noise = np.random.default_rng(7).random((5, 12, 12, 3), np.float32)
    large = [cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC) for image in noise]
    return (np.clip(np.stack(large), 0, 1) * 255).astype(np.uint8)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image is decoded."""
    counts: Counter[str] = Counter()
    read_image = extraction.read_image

    def counted(path: str) -> NDArray[np.uint8]:
        counts[Path(path).name] += 1
        return read_image(path)

    monkeypatch.setattr(extraction, "read_image", counted)
    _read_once.cache_clear()
    return counts
