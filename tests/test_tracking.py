from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from gad_bench.base.errors import UserError
from gad_bench.tracking import DatasetInput, Description, MLflow
from gad_bench.tracking.mlflow_page import way_to_page

IMAGES = DatasetInput(name="demo/bolt", source="/images", digest="0123456789abcdef")


def runs_in(uri: str, experiment: str = "test") -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


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
    (run,) = runs_in(f"sqlite:///{tmp_path / 'mlflow.db'}")
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
    assert [run.info.status for run in runs_in(tracker.uri)] == ["FAILED"]


def test_a_value_over_mlflows_limit_is_cut(tmp_path: Path) -> None:
    tracker = MLflow(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="test")
    with tracker.run(Description(name="run", params={"long": "x" * 9000}, tags={})):
        pass
    assert runs_in(tracker.uri)[0].data.params["long"] == "x" * 6000


def test_processes_that_use_a_fresh_store_at_once_lose_nothing(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as processes:
        list(processes.map(record, [tmp_path] * 4, range(4)))
    runs = runs_in(f"sqlite:///{tmp_path / 'mlflow.db'}")
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
    runs = runs_in(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert [len(run.inputs.dataset_inputs) for run in runs] == [1, 1]


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD") as refusal:
        MLflow(uri="https://ann:secret@mlflow.example", experiment="test")
    assert "secret" not in str(refusal.value)


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
