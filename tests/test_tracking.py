from __future__ import annotations

import json
import os
import socket
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow.exceptions import MlflowException
from recorded import recorded_runs, store_in

from gad_bench.base.errors import UserError
from gad_bench.tracking import DatasetInput, Description, MLflow, SweepSummary, without_password
from gad_bench.tracking.mlflow_page import metric_name, plain_metric_name, way_to_page

IMAGES = DatasetInput(name="demo/bolt", source="/images", digest="0123456789abcdef")


def record(folder: Path, index: int) -> None:
    tracker = MLflow(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="test")
    description = Description(
        name=f"run {index}", params={"index": index}, tags={"covariance": "identity"}
    )
    files = folder / f"files-{index}"
    files.mkdir()
    (files / "scores.csv").write_text("path,score\n")
    with tracker.run(description) as run:
        run.log({"auroc": index / 10}, IMAGES, files)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_keeps_its_params_metrics_tags_and_data_set(tmp_path: Path) -> None:
    record(tmp_path, 7)
    (run,) = recorded_runs(store_in(tmp_path), "test")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"index": "7"}
    assert run.data.metrics == {"auroc": 0.7}
    assert run.data.tags["covariance"] == "identity"
    assert run.inputs.dataset_inputs[0].dataset.digest == "0123456789abcdef"


def test_a_run_that_raises_ends_as_failed(tmp_path: Path) -> None:
    tracker = MLflow(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="test")

    def fail() -> None:
        with tracker.run(Description(name="run", params={}, tags={})):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [run.info.status for run in recorded_runs(tracker.uri, "test")] == ["FAILED"]


def test_a_value_over_mlflows_limit_is_cut(tmp_path: Path) -> None:
    tracker = MLflow(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="test")
    with tracker.run(Description(name="run", params={"long": "x" * 9000}, tags={})):
        pass
    assert recorded_runs(tracker.uri, "test")[0].data.params["long"] == "x" * 6000


def test_processes_that_use_a_fresh_store_at_once_lose_nothing(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as processes:
        list(processes.map(record, [tmp_path] * 4, range(4)))
    runs = recorded_runs(store_in(tmp_path), "test")
    assert sorted(run.data.metrics["auroc"] for run in runs) == [0.0, 0.1, 0.2, 0.3]


def test_processes_that_are_the_first_to_use_a_data_set_at_once_all_record_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    record(tmp_path, 0)
    log_inputs, at_once = MlflowClient.log_inputs, iter([MlflowException("UNIQUE constraint")])

    def lose_the_race(*arguments: Any, **named: Any) -> None:
        for error in at_once:
            raise error
        log_inputs(*arguments, **named)

    monkeypatch.setattr(MlflowClient, "log_inputs", lose_the_race)
    record(tmp_path, 1)
    runs = recorded_runs(store_in(tmp_path), "test")
    assert [len(run.inputs.dataset_inputs) for run in runs] == [1, 1]


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD") as refusal:
        MLflow(uri="https://ann:secret@mlflow.example", experiment="test")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ann:se:c@ret@mlflow.example/x", "https://ann:***@mlflow.example/x"),
        (
            "postgresql://host/db?user=ann&password=secret&a=1",
            "postgresql://host/db?user=ann&password=***&a=1",
        ),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_a_password_is_not_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_a_store_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tracker = MLflow(uri=f"unknown://{tmp_path}", experiment="test")
    with (
        pytest.raises(UserError, match="tracking=none"),
        tracker.run(Description(name="run", params={}, tags={})),
    ):
        pass


PAGE = "/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=gad_bench"


def test_the_viewer_of_a_database_is_a_command_and_an_address_and_of_a_server_its_address() -> None:
    database = MLflow(uri="sqlite:///mlflow.db", experiment="test")
    command = "mlflow ui --backend-store-uri sqlite:///mlflow.db"
    assert database.viewer == f"{command}, then http://127.0.0.1:5000{PAGE}"
    assert way_to_page("https://mlflow.example/", "1") == f"https://mlflow.example{PAGE}"


RESULTS = {
    "metrics.json": '{"auroc": 0.875}',
    "scores.csv": "path,score\na,1.5\n",
    "config.yaml": "a: 1",
}
DAMAGES = {
    "changed": lambda file: file.write_text(file.read_text().replace("1", "2").replace("8", "9")),
    "cut": lambda file: file.write_text(file.read_text()[:-3]),
    "broken": lambda file: file.write_text("{"),
    "missing": lambda file: file.unlink(),
}


def recorded(folder: Path, key: str, left: str = "results") -> tuple[MLflow, Description, Path]:
    """Record a finished run; return where, what it was, and the folder of its record."""
    tracker = MLflow(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="test")
    files = folder / key
    files.mkdir()
    for name, text in RESULTS.items():
        (files / name).write_text(text)
    description = Description(name="run", params={}, tags={"key": key, "files": left})
    with tracker.run(description) as run:
        run.log({}, IMAGES, files)
    artifacts = recorded_runs(tracker.uri, "test")[0].info.artifact_uri
    return tracker, description, Path(urlsplit(artifacts).path)


def test_a_run_is_restored_only_if_it_is_as_it_was_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, (name, way) in enumerate(product(RESULTS, DAMAGES)):
        tracker, description, record = recorded(tmp_path, f"run-{number}")
        output = tmp_path / f"output-{number}"
        output.mkdir()
        DAMAGES[way](record / name)
        assert not tracker.restore(description, output), (name, way)
        assert list(output.iterdir()) == []
        assert f"{name} is missing or damaged: it is run again" in caplog.messages[-1]
        (record / name).write_text(RESULTS[name])
        assert tracker.restore(description, output)
        assert {path.name: path.read_text() for path in output.iterdir()} == RESULTS


def test_a_run_that_left_less_than_is_asked_for_is_not_restored(tmp_path: Path) -> None:
    tracker, description, _ = recorded(tmp_path, "run", left="results figures")
    for files, is_enough in (
        ("results", True),
        ("results figures", True),
        ("figures more:1", False),
    ):
        asked = replace(description, tags={**description.tags, "files": files})
        assert tracker.restore(asked, tmp_path) == is_enough


def test_the_page_opens_with_the_runs_sorted_by_auroc_beside_their_method(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    record(tmp_path, 1)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    tags = client.get_experiment_by_name("test").tags
    view = json.loads(tags["mlflow.sharedViewState.gad_bench"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`auroc`", False)
    columns = {"metrics.`auroc`", "metrics.`auroc_ci_low`", "params.`backbone`"}
    assert columns | {"params.`covariance`", "params.`category`"} <= set(view["selectedColumns"])


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("auroc", "auroc"),
        ("auroc_ci_high", "auroc_ci_high"),
        ("tpr_conformal", "tpr_conformal"),
        ("tpr_conformal_ci_low", "detail/tpr_conformal_ci_low"),
        ("auroc_block_3", "detail/auroc_block_3"),
        ("fpr_sigma_2_block_0", "detail/fpr_sigma_2_block_0"),
        ("auroc_defect_scratch", "detail/auroc_defect_scratch"),
        ("auroc_fold_1", "detail/auroc_fold_1"),
    ],
)
def test_a_metric_that_is_one_of_many_stands_below_those_of_a_run(name: str, held: str) -> None:
    assert metric_name(name) == held
    assert plain_metric_name(held) == name


ODD = ["$x^$", "it's", "both \"' of them", "../up", "a//b", os.fsdecode(b"n\xe4me"), "錆 び", "."]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_any_name_that_a_folder_can_have_is_recorded(odd: str, tmp_path: Path) -> None:
    tracker = MLflow(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="test")
    images = DatasetInput(name=f"folder/{odd}", source=f"/{odd}", digest="0123")
    (tmp_path / "files").mkdir()
    for name, text in RESULTS.items():
        (tmp_path / "files" / name).write_text(text)
    tracker.open_sweep(odd, odd)
    description = Description(
        name=odd,
        params={"category": odd, f"dataset.categories.{odd}.kind": "object"},
        tags={"category": odd, "key": "k"},
        sweep=odd,
    )
    with tracker.run(description) as run:
        run.log({"auroc": 0.5, f"auroc_defect_{odd}": 0.5, odd: 1.0}, images, tmp_path / "files")
    assert tracker.restore(description, tmp_path)
    with pytest.raises(ZeroDivisionError), tracker.run(description):
        raise ZeroDivisionError(odd)
    summary = SweepSummary(metrics={}, failed=False, text=odd, files=tmp_path / "files")
    tracker.close_sweep(odd, summary)
    failed, run, parent = recorded_runs(tracker.uri, "test")
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert [one.info.status for one in (failed, run, parent)] == ["FAILED", "FINISHED", "FINISHED"]


def test_a_server_that_does_not_answer_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UserError, match=f"tracking.uri={uri} cannot be used") as refusal:
            MLflow(uri=uri, experiment="test").open_sweep("sweep", "sweep")
    assert time.monotonic() - began < 20
    assert len(str(refusal.value).splitlines()) == 1
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


def test_the_users_own_patience_with_a_server_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(UserError, match="cannot be used"):
            MLflow(uri=f"http://127.0.0.1:{silent.getsockname()[1]}", experiment="test").viewer  # noqa: B018
    assert time.monotonic() - began < 5
