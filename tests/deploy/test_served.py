"""The MLflow model: logged by a run, loaded, and served over HTTP on this machine alone."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recorded import recorded_runs, store_in
from saved import Saved

from gad_bench import Detector

SECONDS_TO_START = 120


@pytest.fixture(scope="module")
def model(saved: Saved) -> str:
    """The address of the run's model in its store."""
    return model_of(saved)


def model_of(saved: Saved) -> str:
    (run,) = recorded_runs(store_in(saved.work))
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


def test_a_detector_on_patches_is_served_with_the_scores_and_p_values_of_predict(
    tmp_path: Path, shared_cache: Path, requests: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    small = ["detector=patchcore", "detector.blocks=[2,3]", "fold=kfold", "fold.n_splits=2"]
    patches = Saved(tmp_path, shared_cache, *small, "threshold.fpr=0.1")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = mlflow.pyfunc.load_model(model_of(patches)).predict(requests)
    expected = Detector.load(patches.folder).predict(patches.paths[:3], heat_maps=False).table()
    assert list(found) == ["score", "p_value", "anomalous"]
    pd.testing.assert_frame_equal(found, expected.drop(columns="path"), rtol=1e-12)


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


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize("kind", ["dataframe_split", "dataframe_records", "instances", "inputs"])
def test_base64_works_in_each_of_mlflows_forms(
    saved: Saved, server: str, requests: pd.DataFrame, kind: str
) -> None:
    texts = [base64.b64encode(content).decode() for content in requests["image"]]
    forms = {
        "dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]},
        "dataframe_records": [{"image": text} for text in texts],
        "instances": [{"image": text} for text in texts],
        "inputs": {"image": texts},
    }
    found = pd.DataFrame(_send(server, json.dumps({kind: forms[kind]}).encode())["predictions"])
    np.testing.assert_allclose(found["score"], saved.scores["score"][:3], rtol=1e-9)


def test_a_server_gives_each_of_many_clients_its_own_scores(saved: Saved, server: str) -> None:
    contents = [Path(path).read_bytes() for path in saved.paths[:6]]
    rows = [[base64.b64encode(content).decode()] for content in contents]
    asked = [rows[call % 3 : 4 + call % 3] for call in range(60)]
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(lambda some: _post(server, some), asked))
    alone = {len(rows) - call: _post(server, asked[call]) for call in range(3)}
    for call, answer in enumerate(together):
        assert answer == alone[len(rows) - call % 3]


JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
MALFORMED = {
    "a number of 10,000 digits": (JSON, b'{"inputs": {"image": [' + b"9" * 10_000 + b"]}}"),
    "deep JSON": (JSON, b"[" * 200_000),
    "a deep value": (JSON, b'{"inputs": {"image": [' + b"[" * 900 + b"]" * 900 + b"]}}"),
    "no JSON": (JSON, b"\xff image"),
    "a list": (JSON, b"[1, 2]"),
    "no form": (JSON, b"{}"),
    "no column": (JSON, b'{"dataframe_records": [{"picture": "aGFsbG8="}]}'),
    "a number": (JSON, b'{"dataframe_split": {"columns": ["image"], "data": [[5]]}}'),
    "nothing": (JSON, b'{"dataframe_records": [{"image": null}]}'),
    "no base64": (JSON, b'{"inputs": {"image": ["!"]}}'),
    "base64 of no image": (JSON, b'{"instances": [{"image": "aGFsbG8="}]}'),
    "rows of other lengths": (
        JSON,
        b'{"dataframe_split": {"columns": ["image"], "data": [[1, 2]]}}',
    ),
    "no Parquet": (PARQUET, b"no Parquet"),
    "no Content-Type": ("", b"{}"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_in_one_line(server: str, name: str) -> None:
    kind, body = MALFORMED[name]
    _assert_refused(server, body, kind)


@pytest.mark.parametrize("kind", [JSON, CSV])
@pytest.mark.parametrize("place", ["an image", "a FIFO", "nothing"])
def test_a_path_is_refused_and_nothing_is_read(
    saved: Saved, server: str, tmp_path: Path, kind: str, place: str
) -> None:
    fifo = tmp_path / "fifo.png"
    os.mkfifo(fifo)
    path = {"an image": saved.paths[0], "a FIFO": str(fifo), "nothing": "/nowhere.png"}[place]
    body = f"image\n{path}\n" if kind == CSV else json.dumps({"inputs": {"image": [path]}})
    told = _assert_refused(server, body.encode(), kind)
    assert told.startswith("image 0 is no image: send the bytes")


def test_a_request_beyond_the_limit_of_pixels_is_refused(server: str) -> None:
    head = struct.pack(">IIBBBBB", 32000, 32000, 8, 2, 0, 0, 0)
    image = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + b"IHDR" + head
    text = base64.b64encode(image).decode()
    told = _assert_refused(server, json.dumps({"inputs": {"image": [text]}}).encode(), JSON)
    assert told.startswith("image 0 is 32000 x 32000 pixels, more than 100 megapixels")


def _assert_refused(server: str, body: bytes, kind: str) -> str:
    """Return the one line."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        _send(server, body, kind)
    answer = refused.value.read().decode()
    assert refused.value.code == 400, answer
    told = json.loads(answer)["message"]
    assert told
    assert len(told) < 400
    assert "\n" not in told
    assert "Traceback" not in answer
    assert "stack_trace" not in answer
    return str(told)


def _post(address: str, rows: list[list[str]]) -> Any:
    body = json.dumps({"dataframe_split": {"columns": ["image"], "data": rows}}).encode()
    return _send(address, body)


def _send(address: str, body: bytes, kind: str = "application/json") -> Any:
    request = urllib.request.Request(address, body, {"Content-Type": kind})
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
