from __future__ import annotations

from pathlib import Path

import pytest
from saved import SMALL, Saved


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Saved:
    """A fold of the demo, with enough images held out for a conformal threshold."""
    folder = tmp_path_factory.mktemp("saved")
    overrides = ["fold=kfold", "fold.n_splits=2", "threshold.fpr=0.1"]
    return Saved(folder, shared_cache, *SMALL, *overrides)
