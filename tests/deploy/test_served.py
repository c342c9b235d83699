"""The MLflow model: logged by a run, loaded, and served over HTTP on this machine alone."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from saved import Saved

SECONDS_TO_START = 120


@pytest.fixture(scope="module")
def model(saved: Saved) -> str:
    """The address of the run's model in its store."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{saved.work / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("gad_bench")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    return f"runs:/{run.info.run_id}/detector"


@pytest.fixture
def requests(saved: Saved) -> pd.DataFrame:
    contents = [Path(path).read_bytes() for path in saved.paths[:3]]
    return pd.DataFrame({"image": contents})


def test_the_model_scores_files_contents(
    saved: Saved, model: str, requests: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(saved.work)
    mlflow.set_tracking_uri(f"sqlite:///{saved.work / 'mlflow.db'}")
    found = mlflow.pyfunc.load_model(model).predict(requests)
    np.testing.assert_allclose(found["score"], saved.scores["score"][:3], rtol=1e-9)


def test_the_model_tells_what_goes_in_and_comes_out_and_holds_no_pickle(
    saved: Saved, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(saved.work)
    mlflow.set_tracking_uri(f"sqlite:///{saved.work / 'mlflow.db'}")
    signature = mlflow.models.get_model_info(model).signature
    assert signature.inputs.input_names() == ["image"]
    assert signature.outputs.input_names()[-3:] == ["score", "p_value", "anomalous"]
    files = {path.name for path in saved.work.glob("mlruns/*/models/**/*") if path.is_file()}
    assert {"MLmodel", "input_example.json", "served_code.py", "arrays.safetensors"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle"))]


@pytest.fixture
def server(saved: Saved, model: str) -> Iterator[str]:
    """`mlflow models serve` on a free port of the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    serve = ["mlflow", "models", "serve", "--model-uri", model, "--env-manager", "local"]
    uvicorn = Path(sys.executable).parent
    environment = {
        "PATH": f"{uvicorn}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", *serve, "--host", "127.0.0.1", "--port", port],
        cwd=saved.work,
        env=os.environ | environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/ping", process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_a_server_answers_over_http(saved: Saved, server: str, requests: pd.DataFrame) -> None:
    rows = [[base64.b64encode(content).decode()] for content in requests["image"]]
    found = pd.DataFrame(_post(server, rows)["predictions"])
    np.testing.assert_allclose(found["score"], saved.scores["score"][:3], rtol=1e-9)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        _post(server, [[base64.b64encode(b"no image").decode()]])


def _post(address: str, rows: list[list[str]]) -> Any:
    body = json.dumps({"dataframe_split": {"columns": ["image"], "data": rows}}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < ends:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    if process.poll() is not None:
        pytest.fail(f"the server ended with status {process.returncode}")
    pytest.skip(f"the server did not start within {SECONDS_TO_START} s on this busy machine")
