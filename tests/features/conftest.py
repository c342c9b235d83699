from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    """Five smooth colour images, 64 x 64: noise alone would look the same to every filter."""
    noise = np.random.default_rng(7).random((5, 12, 12, 3), np.float32)
    large = [cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC) for image in noise]
    return (np.clip(np.stack(large), 0, 1) * 255).astype(np.uint8)
