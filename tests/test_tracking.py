from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow.exceptions import MlflowException

from gad_bench.base.errors import UserError
from gad_bench.tracking import DatasetInput, Description, MLflow

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


def test_the_viewer_of_a_database_is_a_command_and_of_a_server_its_address() -> None:
    database = MLflow(uri="sqlite:///mlflow.db", experiment="test")
    assert database.viewer == "mlflow ui --backend-store-uri sqlite:///mlflow.db"
    server = MLflow(uri="https://mlflow.example", experiment="test")
    assert server.viewer == "https://mlflow.example"


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
    artifacts = runs_in(tracker.uri)[0].info.artifact_uri
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
