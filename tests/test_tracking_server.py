"""A team's tracking server: jobs on many processes write to it, and no credential is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import (
    SWEEP,
    assert_nothing_lost,
    environment,
    results,
    run_program,
)
from program import Outcome, Program
from recorded import recorded_sweep
from tracking_server import DATABASE_PASSWORD, PASSWORD, USER, Server, missing, tracking_server

SECRETS = [USER, PASSWORD, DATABASE_PASSWORD]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if reason := missing():
        pytest.skip(reason)
    with tracking_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def env(server: Server, shared_cache: Path) -> dict[str, str]:
    return environment(shared_cache, MLFLOW_TRACKING_URI=server.uri, **server.credentials)


@pytest.fixture(scope="module")
def sweep(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Eight jobs at once."""
    jobs = ["fold.index=0,1", "covariance=ledoit_wolf,oas,diagonal,identity"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=8"]
    return run_program(tmp_path_factory.mktemp("team") / "work", env, *SWEEP, *launcher, *jobs)


@pytest.fixture
def _logged_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.credentials.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_logged_in")
def test_eight_jobs_at_once_lose_nothing(sweep: Outcome, server: Server) -> None:
    from mlflow.tracking import MlflowClient

    assert sweep.status == 0, sweep.errors
    assert len(results(sweep)) == 8
    parent, nested = recorded_sweep(server.uri)
    assert parent.data.metrics == {"jobs": 8, "jobs_failed": 0, "jobs_restored": 0}
    assert_nothing_lost(sweep, server.uri)
    written = sorted((run / "scores.csv").read_text() for run in sweep.runs)
    client = MlflowClient(server.uri)
    fetched = [client.download_artifacts(run.info.run_id, "scores.csv") for run in nested]
    assert sorted(Path(path).read_text() for path in fetched) == written


@pytest.mark.parametrize("source", ["--tracking-uri", "--experiment"])
def test_the_report_reads_from_it(
    source: str, sweep: Outcome, server: Server, env: dict[str, str]
) -> None:
    wanted = {"--tracking-uri": server.uri, "--experiment": "gad_bench"}[source]
    tables = [
        subprocess.run(
            [sys.executable, "-m", "gad_bench.report", *options],
            cwd=sweep.folder,
            env=env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for options in ([source, wanted], [])
    ]
    from_server, from_folder = map(columns_of, tables)
    assert len(from_server) == 1 + 4  # the estimators, in the order in which jobs ended
    assert from_server == from_folder


@pytest.mark.usefixtures("_logged_in")
def test_no_credential_is_written(sweep: Outcome, server: Server, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server.uri)
    parent, nested = recorded_sweep(server.uri)
    for run in (parent, *nested):
        client.download_artifacts(run.info.run_id, "", str(_made(tmp_path / run.info.run_id)))
    files = [path for folder in (sweep.folder, tmp_path) for path in folder.rglob("*")]
    texts = [path.read_bytes() for path in files if path.is_file()]
    assert len(texts) > 100
    texts += [str(run.to_dictionary()).encode() for run in (parent, *nested)]
    texts += [sweep.output.encode(), sweep.errors.encode()]
    assert not [secret for secret in SECRETS for text in texts if secret.encode() in text]


def test_a_wrong_password_ends_a_sweep_before_it_starts(
    env: dict[str, str], tmp_path: Path
) -> None:
    wrong = env | {"MLFLOW_TRACKING_PASSWORD": "guessed"}
    outcome = run_program(tmp_path / "work", wrong, *SWEEP, "fold.index=0,1")
    assert outcome.status == 2
    (line,) = outcome.errors.splitlines()
    assert "cannot be used" in line
    assert "guessed" not in line


@pytest.mark.parametrize(
    "uri",
    [
        "https://ann:do-not-tell@mlflow.example",
        "postgresql://ann:do-not-tell@db.example/mlflow",
        "postgresql://db.example/mlflow?user=ann&password=do-not-tell",
    ],
)
@pytest.mark.parametrize("several", [[], ["-m", "fold.index=0,1"]])
def test_a_password_in_the_environments_address_is_refused_and_not_written(
    uri: str, several: list[str], program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    outcome = program(*several, "experiment=demo")
    assert outcome.status == 2
    assert "MLFLOW_TRACKING_PASSWORD" in outcome.errors
    files = [path for path in outcome.folder.rglob("*") if path.is_file()]
    texts = [path.read_text() for path in files] + [outcome.output, outcome.errors]
    assert not [text for text in texts if "do-not-tell" in text]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def columns_of(report: str) -> list[tuple[str, ...]]:
    rows = [line.split("|")[1:-1] for line in report.splitlines() if line.startswith("|")]
    return sorted(zip(*rows, strict=True))
