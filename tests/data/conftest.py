from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make small image files, given by their paths within a folder, and return the folder."""

    def make(*names: str, size: tuple[int, int] = (8, 6), value: int = 255) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)
        return tmp_path

    return make
