"""Where runs are recorded: MLflow, or nowhere. The only module, with the report, that knows it."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from gad_bench.base.command import one_line
from gad_bench.base.errors import TrackingError, UserError
from gad_bench.base.run_folder import METRICS, RESULTS, digests

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

LONGEST_VALUE = 6000  # MLflow's limit for a parameter
LONGEST_TAG = 5000
KEY, SWEEP, ROLE, PARENT = "key", "sweep", "role", "sweep"
DIGESTS, FILES = "digests", "files"  # tags: of a run's results, and the kinds of files that it left
PASSWORD = re.compile(r"://[^/\s]*:[^/\s]+@|[?&](password|passwd|pwd)=", re.IGNORECASE)
MOST_TRIED = 10  # recorded runs of one key


@dataclass(frozen=True, kw_only=True)
class Description:
    """What identifies a run before it starts."""

    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    sweep: str | None = None  # the name of the sweep that the run is a job of


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """The images that a run used: a name, where they lie, and a digest of their content."""

    name: str
    source: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """What became of a sweep."""

    metrics: Mapping[str, float]
    failed: bool
    text: str  # Markdown, shown on the page of the sweep's run
    files: Path  # a folder


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model that can be served over HTTP.

    Attributes:
        name: of the model within its run.
        code: the file that the server runs.
        folder: what that code reads.
        inputs: the types of the columns that go in, as MLflow names them.
        outputs: those of the columns that come out.
        example: a row of what goes in.
        requirements: the packages that it takes.
        about: for people, and to find the run.
    """

    name: str
    code: Path
    folder: Path
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    example: pd.DataFrame
    requirements: Sequence[str]
    about: Mapping[str, str]


class TrackedRun(Protocol):
    """A run that is being recorded."""

    def log(self, metrics: Mapping[str, float], dataset: DatasetInput, files: Path) -> None:
        """Record a finished run: its metrics, its images and the files in a folder."""

    def log_model(self, model: contextlib.AbstractContextManager[ServedModel]) -> None:
        """Record what can be served of the run; it is there for as long as the context is open."""


class Tracker(Protocol):
    """Where runs are recorded."""

    @property
    def viewer(self) -> str | None:
        """The command or address that shows the runs."""

    @property
    def libraries(self) -> Sequence[str]:
        """The modules that recording takes."""

    def run(self, description: Description) -> contextlib.AbstractContextManager[TrackedRun]:
        """Open a run; it ends as failed when the block raises."""

    def restore(self, description: Description, output: Path) -> bool:
        """Fetch the files of a finished run of the same key, if there is one, and tell so."""

    def open_sweep(self, sweep: str, title: str) -> None:
        """Open the run that a sweep's runs nest under, anew or again."""

    def close_sweep(self, sweep: str, summary: SweepSummary) -> None:
        """Record what became of a sweep's jobs."""


@dataclass(frozen=True, kw_only=True)
class NoTracking:
    """Record nothing."""

    viewer = None
    libraries = ()

    @contextlib.contextmanager
    def run(self, description: Description) -> Iterator[NoTracking]:  # noqa: ARG002
        """Open nothing."""
        yield self

    def log(self, metrics: Mapping[str, float], dataset: DatasetInput, files: Path) -> None:
        """Record nothing."""

    def log_model(self, model: contextlib.AbstractContextManager[ServedModel]) -> None:
        """Record nothing."""

    def restore(self, description: Description, output: Path) -> bool:  # noqa: ARG002
        """Refuse.

        Raises:
            UserError: nothing is recorded that could be found again.
        """
        raise UserError("resume=true finds finished runs in MLflow: leave tracking=none out")

    def open_sweep(self, sweep: str, title: str) -> None:
        """Open nothing."""

    def close_sweep(self, sweep: str, summary: SweepSummary) -> None:
        """Record nothing."""


def refuse_password(text: str) -> None:
    """Refuse an address, or an override that names one, that holds a password.

    Raises:
        UserError: says where else to give it.
    """
    if PASSWORD.search(text):
        raise UserError(
            "tracking.uri holds a password, which would be written to disk with the config: "
            "give it to MLflow by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
            "or to a database by PGPASSWORD"
        )


@dataclass(frozen=True, kw_only=True)
class MLflow:
    """Record runs in MLflow."""

    uri: str
    experiment: str

    def __post_init__(self) -> None:
        refuse_password(self.uri)

    @property
    def viewer(self) -> str:
        """The command or address that shows the runs."""
        return self.uri if self._is_server else f"mlflow ui --backend-store-uri {self.uri}"

    @property
    def libraries(self) -> Sequence[str]:
        """MLflow, and what it takes to write a database itself."""
        database = [] if self._is_server else ["mlflow.store.tracking.sqlalchemy_store"]
        return ["mlflow.tracking", *database]

    @contextlib.contextmanager
    def run(self, description: Description) -> Iterator[MLflowRun]:
        """Open an MLflow run; it ends as FINISHED, or FAILED when the block raises.

        Raises:
            UserError: the store cannot be reached; nothing has been computed by then.
        """
        client, experiment_id = _open_store(self.uri, self.experiment)
        run = client.create_run(
            experiment_id,
            run_name=description.name,
            tags=_tags(description.tags) | self._nesting(description.sweep),
        )
        tracked = MLflowRun(client, run.info.run_id)
        try:
            tracked.log_params(description.params)
            yield tracked
        except BaseException as error:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                client.set_tag(run.info.run_id, "error", str(error)[:LONGEST_TAG])
                client.set_terminated(run.info.run_id, "FAILED")
            raise
        client.set_terminated(run.info.run_id, "FINISHED")

    def restore(self, description: Description, output: Path) -> bool:
        """Fetch the files of a finished run of the same key, and nest it under this sweep.

        One that does not hold all that is asked for, or not what it recorded, is told of and left.
        """
        client, experiment_id = _open_store(self.uri, self.experiment)
        wanted = f"tags.{KEY} = '{description.tags[KEY]}' and attributes.status = 'FINISHED'"
        for run in client.search_runs([experiment_id], wanted, max_results=MOST_TRIED):
            missing = _missing(run, description) or _fetch(client, run, output)
            if missing is None:
                for tag, value in self._nesting(description.sweep).items():
                    client.set_tag(run.info.run_id, tag, value)
                return True
            log.warning("%s was recorded, but %s: it is run again", description.name, missing)
        return False

    def open_sweep(self, sweep: str, title: str) -> None:
        """Open the run that a sweep's runs nest under, anew or again.

        Raises:
            UserError: the store cannot be reached; no job has started by then.
        """
        client, experiment_id = _open_store(self.uri, self.experiment)
        parent = _find_parent(client, experiment_id, sweep)
        if parent is None:
            tags = _tags({SWEEP: sweep, ROLE: PARENT})
            client.create_run(experiment_id, run_name=title, tags=tags)
        else:
            client.update_run(parent, status="RUNNING")

    def close_sweep(self, sweep: str, summary: SweepSummary) -> None:
        """Record what became of a sweep's jobs; its run failed where one of them did."""
        client, experiment_id = _open_store(self.uri, self.experiment)
        with _recording(summary.files):
            parent = _find_parent(client, experiment_id, sweep)
            if parent is None:
                raise LookupError("the sweep's own run is gone")
            _log_metrics(client, parent, summary.metrics)
            client.set_tag(parent, "mlflow.note.content", summary.text[:LONGEST_TAG])
            client.log_artifacts(parent, str(summary.files))
            _end_abandoned(client, experiment_id, sweep)
            client.set_terminated(parent, "FAILED" if summary.failed else "FINISHED")

    @property
    def _is_server(self) -> bool:
        return urlsplit(self.uri).scheme in ("http", "https")

    def _nesting(self, sweep: str | None) -> dict[str, str]:
        """Return the tags that nest a run under its sweep's, which any process finds by name."""
        if sweep is None:
            return {}
        parent = _find_parent(*_open_store(self.uri, self.experiment), sweep)
        return {SWEEP: sweep} | ({"mlflow.parentRunId": parent} if parent else {})


@dataclass(frozen=True)
class MLflowRun:
    """A run that is being recorded in MLflow."""

    client: MlflowClient
    run_id: str

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record the config's values, cut at MLflow's limit (the config file holds them whole)."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in params.items()]
        for start in range(0, len(entries), 100):  # MLflow's limit for a batch
            self.client.log_batch(self.run_id, params=entries[start : start + 100])

    def log(self, metrics: Mapping[str, float], dataset: DatasetInput, files: Path) -> None:
        """Record a finished run: its metrics, its images and the files in a folder."""
        with _recording(files):
            _log_metrics(self.client, self.run_id, metrics)
            _log_dataset(self.client, self.run_id, dataset)
            self.client.set_tag(self.run_id, DIGESTS, json.dumps(digests(files)))
            self.client.log_artifacts(self.run_id, str(files))

    def log_model(self, model: contextlib.AbstractContextManager[ServedModel]) -> None:
        """Record what can be served of the run, as an MLflow model."""
        with model as served, _recording(served.folder):
            _log_model(self.client.tracking_uri, self.run_id, served)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    own = {"mlflow.user": getpass.getuser(), "mlflow.source.name": "gad_bench"}
    return {key: str(value)[:LONGEST_TAG] for key, value in tags.items()} | own


def _log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(
        run_id, metrics=[Metric(key, float(value), now, 0) for key, value in metrics.items()]
    )


def _log_model(uri: str, run_id: str, model: ServedModel) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(uri)
    inputs, outputs = (
        Schema([ColSpec(kind, name) for name, kind in columns.items()])
        for columns in (model.inputs, model.outputs)
    )
    with mlflow.start_run(run_id=run_id):
        mlflow.pyfunc.log_model(
            name=model.name,
            python_model=str(model.code),
            artifacts={model.name: str(model.folder)},
            signature=ModelSignature(inputs, outputs),
            input_example=model.example,
            pip_requirements=list(model.requirements),
            metadata=dict(model.about),
        )


def _log_dataset(client: MlflowClient, run_id: str, dataset: DatasetInput) -> None:
    """Link the images to a run.

    MLflow looks for a data set and adds it in two steps: of two runs that are the first to use it
    at once, one fails, and finds it when it tries again.
    """
    from mlflow.exceptions import MlflowException

    entity = _dataset_entity(dataset)
    try:
        client.log_inputs(run_id, datasets=[entity])
    except MlflowException:
        client.log_inputs(run_id, datasets=[entity])


@contextlib.contextmanager
def _recording(files: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        raise TrackingError(f"{files} is whole, but could not be recorded: {reason}") from error


def _missing(run: Any, description: Description) -> str | None:  # noqa: ANN401 - an mlflow entity
    """Return what a recorded run lacks of the files that are asked for, None if nothing."""
    left, wanted = (tags.get(FILES, "").split() for tags in (run.data.tags, description.tags))
    lacking = sorted(set(wanted) - set(left))
    return f"without {lacking[0].partition(':')[0]}" if lacking else None


def _fetch(client: MlflowClient, run: Any, output: Path) -> str | None:  # noqa: ANN401
    """Fetch a run's files, the metrics last, if they are what it recorded; else return what is not.

    .hydra is the new job's own.
    """
    with tempfile.TemporaryDirectory() as place:
        fetched = Path(place)
        try:
            recorded = json.loads(run.data.tags[DIGESTS])
            for file in client.list_artifacts(run.info.run_id):
                if not file.is_dir:
                    client.download_artifacts(run.info.run_id, file.path, place)
        except Exception as error:
            return f"its files cannot be fetched ({one_line(error)})"
        now = digests(fetched)
        damaged = [name for name in RESULTS if name not in now or now[name] != recorded.get(name)]
        if damaged:
            return f"{damaged[0]} is missing or damaged"
        for path in sorted(fetched.iterdir(), key=lambda path: path.name == METRICS):
            shutil.copyfile(path, output / path.name)
    return None


def _find_parent(client: MlflowClient, experiment_id: str, sweep: str) -> str | None:
    wanted = f"tags.{SWEEP} = '{sweep}' and tags.{ROLE} = '{PARENT}'"
    found = client.search_runs([experiment_id], wanted, max_results=1)
    return str(found[0].info.run_id) if found else None


def _end_abandoned(client: MlflowClient, experiment_id: str, sweep: str) -> None:
    """End the runs whose process died; one that lives on all the same says so when it is done."""
    wanted = f"tags.{SWEEP} = '{sweep}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment_id], wanted):
        client.set_terminated(run.info.run_id, "KILLED")


def _dataset_entity(dataset: DatasetInput) -> Any:  # noqa: ANN401 - an mlflow entity
    from mlflow import entities

    return entities.DatasetInput(
        entities.Dataset(
            name=dataset.name,
            digest=dataset.digest[:36],  # MLflow's limit
            source_type="local",
            source=dataset.source,
        ),
        [],
    )


def _open_store(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """Return a client and the experiment's id, making store and experiment where they are new."""
    database = _database(uri)
    return _open_once(f"sqlite:///{database}" if database else uri, experiment)


@cache
def _open_once(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    from mlflow.tracking import MlflowClient

    for chatty in ("mlflow", "alembic"):  # after the import, which sets their levels
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        with _one_at_a_time(uri):
            client = MlflowClient(uri)
            found = client.get_experiment_by_name(experiment)
            return client, found.experiment_id if found else client.create_experiment(experiment)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"tracking.uri={uri} cannot be used ({reason}): "
            "correct it, or run with tracking=none to keep the files alone"
        ) from error


def _database(uri: str) -> Path | None:
    """Return the file of an SQLite store, wherever the process may be by now."""
    parts = urlsplit(uri)
    return Path(parts.path.removeprefix("/")).absolute() if parts.scheme == "sqlite" else None


def _one_at_a_time(uri: str) -> contextlib.AbstractContextManager[Any]:
    """Lock out other processes: several that set up a fresh store at once break it."""
    from filelock import FileLock

    database = _database(uri)
    if database:
        database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{database}.lock")
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"gad_bench-{digest}.lock")
