from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gad_bench.base.errors import UserError
from gad_bench.report.frame import Run, Status
from gad_bench.report.tracked import choices_of, missing_from_product, read_tracked
from gad_bench.tracking import DatasetInput, Description, MLflow

IMAGES = DatasetInput(name="demo/bolt", source="/images", digest="0123456789abcdef")


def record(tracker: MLflow, folder: Path, category: str, fold: str, auroc: float | None) -> None:
    """Record a run as the program does; without a number it fails."""
    choices = {"dataset": "demo", "category": category, "fold": fold, "covariance": "oas"}
    tags = {**choices, "key": f"{category} {fold}", "version.numpy": "2", "reviewed_by": category}
    params = {"fold.index": fold, "fold.n_splits": "2", "seed": "0", "category": category}
    params["fold._target_"] = "gad_bench.data.split.KFold"
    with tracker.run(Description(name=category, params=params, tags=tags)) as run:
        if auroc is None:
            raise ZeroDivisionError
        run.log({"auroc": auroc, "auroc_block_0": 0.5}, IMAGES, folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two categories and two folds: one run failed and one was never made; and a sweep's parent."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("store")
    (folder / "files").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tracker = MLflow(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="test")
        record(tracker, folder / "files", "bolt", "0", 0.9)
        record(tracker, folder / "files", "bolt", "1", 0.8)
        with pytest.raises(ZeroDivisionError):
            record(tracker, folder / "files", "nut", "1", None)
        client = MlflowClient(tracker.uri)
        experiment = client.get_experiment_by_name("test").experiment_id
        client.create_run(experiment, tags={"sweep": "multirun/1"})
    return tracker.uri


def test_runs_have_the_keys_numbers_and_status_that_they_were_recorded_with(store: str) -> None:
    runs = read_tracked(store, "test")
    first = runs[0]
    assert first.keys | {"category": "bolt", "fold": "0", "covariance": "oas"} == first.keys
    assert first.keys["fold._target_"] == "gad_bench.data.split.KFold"
    assert (first.metrics["auroc"], first.status) == (0.9, Status.FINISHED)
    assert first.metrics["auroc_block_0"] == 0.5
    assert [run.status for run in runs].count(Status.FAILED) == 1


def test_only_choices_among_the_tags_are_keys(store: str) -> None:
    assert len({run.setting for run in read_tracked(store, "test")}) == 1


def test_what_the_product_of_categories_and_folds_lacks_is_missing(store: str) -> None:
    (missing,) = [run for run in read_tracked(store, "test") if run.status is Status.MISSING]
    assert (missing.keys["category"], missing.keys["fold"]) == ("nut", "0")
    assert missing.keys["fold.index"] == "0"


def test_a_store_or_an_experiment_that_is_not_there_is_refused(store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no experiment 'table9': choose from .*test"):
        read_tracked(store, "table9")
    with pytest.raises(UserError, match="there is no MLflow database"):
        read_tracked(f"sqlite:///{tmp_path / 'none' / 'mlflow.db'}", "test")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [None, b"", b"text", b"SQLite form"])
def test_a_folder_or_another_file_in_a_databases_place_is_refused_at_once(
    tmp_path: Path, content: bytes | None
) -> None:
    database = tmp_path / "mlflow.db"
    if content is None:
        database.mkdir()
    else:
        database.write_bytes(content)
    with pytest.raises(UserError, match=r"no MLflow database"):
        read_tracked(f"sqlite:///{database}", "test")
    assert content is None or database.read_bytes() == content


def test_a_password_in_the_address_is_not_told() -> None:
    with pytest.raises(UserError, match=r"ann:\*\*\*@127") as refusal:
        read_tracked("postgresql://ann:secret@127.0.0.1:1/runs", "test")
    assert "secret" not in str(refusal.value)


def test_a_path_without_a_scheme_says_how_a_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sqlite:///PATH"):
        read_tracked(str(tmp_path / "mlflow.db"), "test")


def test_a_class_that_one_choice_builds_goes_by_the_choices_name(compose_config: Any) -> None:
    params = {
        "fold._target_": compose_config("fold=kfold").fold._target_,
        "reduction._target_": compose_config("reduction=pca").reduction._target_,  # or npca
    }
    assert choices_of(params) == {"folds": "kfold"}


def test_an_experiment_without_runs_is_refused(store: str) -> None:
    with pytest.raises(UserError, match="holds no run"):
        read_tracked(store, "Default")


def test_data_sets_and_kinds_of_folds_do_not_multiply_each_other(run_of: Any) -> None:
    runs = [
        run_of("bolt", 0, 0.9, fold__n_splits="2"),
        run_of("nut", 1, 0.9, fold__n_splits="2"),
        run_of("screw", 0, 0.9, fold__n_splits="2"),
        run_of("bolt", 7, 0.9, fold__n_splits="9"),
    ]
    runs[2] = Run(**vars(runs[2]) | {"keys": {**runs[2].keys, "dataset": "mvtec_ad"}})
    lacking = {
        (run.keys["dataset"], run.keys["fold.n_splits"], run.keys["category"], run.keys["fold"])
        for run in missing_from_product(runs)
    }
    assert lacking == {
        ("demo", "2", "bolt", "1"),
        ("demo", "2", "nut", "0"),
        ("mvtec_ad", "2", "screw", "1"),
        ("demo", "9", "nut", "7"),
    }


def test_a_database_in_the_working_folder_is_that_of_the_folder_one_is_in_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for category in ("bolt", "nut"):
        folder = tmp_path / category
        (folder / "files").mkdir(parents=True)
        monkeypatch.chdir(folder)
        tracker = MLflow(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="test")
        record(tracker, folder / "files", category, "0", 0.9)
        found += [run.keys["category"] for run in read_tracked("sqlite:///mlflow.db", "test")]
    assert found == ["bolt", "nut"]


def test_the_files_of_recorded_runs_are_read_where_they_are_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "scores.csv").write_text("path,label,score\n")
    tracker = MLflow(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="test")
    record(tracker, tmp_path / "files", "bolt", "0", 0.9)
    (run,) = read_tracked(tracker.uri, "test", tmp_path / "fetched")
    assert Path(run.place, "scores.csv").read_text() == "path,label,score\n"
    (tmp_path / "mlruns").rename(tmp_path / "elsewhere")
    (run,) = read_tracked(tracker.uri, "test", tmp_path / "fetched")
    assert run.place.startswith("MLflow run ")
    assert "the files of 1 of 1 finished runs are not at hand" in caplog.text
