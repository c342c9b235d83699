"""The notebooks of examples/ run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import REPOSITORY, environment

NOTEBOOKS = sorted((REPOSITORY / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(
    path: Path, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name, value in environment(shared_cache).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "stored without outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [cell.outputs[-1] for cell in notebook.cells if cell.get("outputs")]
    html = [output["data"]["text/html"] for output in outputs if "data" in output]
    assert "auroc" in html[0]
    assert "data:image/png" in html[1]
    assert "anomalous" in html[-1]
