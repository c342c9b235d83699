"""Runs recorded in MLflow."""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gad_bench.base.command import one_line
from gad_bench.base.errors import TrackingError
from gad_bench.base.owner import owner_mark
from gad_bench.base.run_folder import METRICS, RESULTS, digests
from gad_bench.tracking.interface import (
    DIGESTS,
    FILES,
    KEY,
    NO_CURVES,
    Curves,
    DatasetInput,
    Description,
    ServedModel,
    SweepSummary,
    ended_by_errors,
    refuse_password,
    until_ended,
)
from gad_bench.tracking.mlflow_page import (
    allowed_name,
    is_server,
    metric_name,
    page_params,
    way_to_page,
)
from gad_bench.tracking.mlflow_store import OWNER, open_store, usable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

LONGEST_VALUE = 6000  # MLflow's limit for a parameter
LONGEST_TAG = 5000
SWEEP, ROLE, PARENT = "sweep", "role", "sweep"
MOST_TRIED = 10  # recorded runs of one key


@dataclass(frozen=True, kw_only=True)
class MLflow:
    """Record runs in MLflow."""

    uri: str
    experiment: str

    def __post_init__(self) -> None:
        refuse_password(self.uri)

    @property
    def viewer(self) -> str:
        """The address that shows the runs, after the command that serves it where it takes one."""
        return way_to_page(self.uri, self._open()[1])

    @property
    def libraries(self) -> Sequence[str]:
        """MLflow, and what it takes to write a database itself."""
        database = [] if is_server(self.uri) else ["mlflow.store.tracking.sqlalchemy_store"]
        return ["mlflow.tracking", *database]

    @contextlib.contextmanager
    def run(self, description: Description) -> Iterator[MLflowRun]:
        """Open an MLflow run; it ends as FINISHED, or FAILED when the block raises.

        Raises:
            UserError: the store cannot be reached; nothing has been computed by then.
        """
        with until_ended(self.open_run(description)) as tracked:
            yield tracked

    def open_run(self, description: Description) -> MLflowRun:
        """Open an MLflow run that the caller ends.

        Raises:
            UserError: the store cannot be reached.
        """
        client, experiment_id = self._open(description.sweep)
        with usable(self.uri):
            run = client.create_run(
                experiment_id,
                run_name=_text(description.name, LONGEST_TAG),
                tags=_tags(description.tags) | self._nesting(description.sweep),
            )
        tracked = MLflowRun(client, run.info.run_id)
        with ended_by_errors(tracked), usable(self.uri):
            tracked.log_params(description.params)
        return tracked

    def opened(self, run_id: str) -> MLflowRun:
        """Return an open run."""
        return MLflowRun(open_store(self.uri, self.experiment, patiently=True)[0], run_id)

    def restore(self, description: Description, output: Path) -> bool:
        """Fetch the files of a finished run of the same key, and nest it under this sweep.

        One that does not hold all that is asked for, or not what it recorded, is told of and left.
        """
        client, experiment_id = self._open(description.sweep)
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
        client, experiment_id = self._open()
        with usable(self.uri):
            parent = _find_parent(client, experiment_id, sweep)
            if parent is None:
                tags = _tags({SWEEP: _sweep_tag(sweep), ROLE: PARENT})
                client.create_run(experiment_id, run_name=_text(title, LONGEST_TAG), tags=tags)
            else:
                client.update_run(parent, status="RUNNING")
                for tag, value in _owner().items():
                    client.set_tag(parent, tag, value)

    def close_sweep(self, sweep: str, summary: SweepSummary) -> None:
        """Record what became of a sweep's jobs; its run failed where one of them did."""
        client, experiment_id = self._open()
        with _recording(summary.files):
            parent = _find_parent(client, experiment_id, sweep)
            if parent is None:
                raise LookupError("the sweep's own run is gone")
            _log_metrics(client, parent, summary.metrics)
            client.set_tag(parent, "mlflow.note.content", _text(summary.text, LONGEST_TAG))
            client.log_artifacts(parent, str(summary.files))
            _end_abandoned(client, experiment_id, sweep)
            client.set_terminated(parent, "FAILED" if summary.failed else "FINISHED")

    def _open(self, sweep: str | None = None) -> tuple[MlflowClient, str]:
        """Open the store, for a job of a sweep or, without one, for the first time."""
        return open_store(self.uri, self.experiment, patiently=sweep is not None)

    def _nesting(self, sweep: str | None) -> dict[str, str]:
        """Return the tags that nest a run under its sweep's, which any process finds by name."""
        if sweep is None:
            return {}
        parent = _find_parent(*self._open(sweep), sweep)
        return {SWEEP: _sweep_tag(sweep)} | ({"mlflow.parentRunId": parent} if parent else {})


@dataclass(frozen=True)
class MLflowRun:
    """A run that is being recorded in MLflow."""

    client: MlflowClient
    run_id: str

    def require_open(self) -> None:
        """Do nothing: it is."""

    def wait(self) -> None:
        """Do nothing: all is recorded by now."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record the config's values, cut at MLflow's limit (the config file holds them whole)."""
        from mlflow.entities import Param

        held = page_params(params)
        entries = [Param(key, _text(value, LONGEST_VALUE)) for key, value in held.items()]
        for start in range(0, len(entries), 100):  # MLflow's limit for a batch
            self.client.log_batch(self.run_id, params=entries[start : start + 100])

    def end(self) -> None:
        """Record that the run is done."""
        try:
            self.client.set_terminated(self.run_id, "FINISHED")
        except Exception as error:
            reason = " ".join(str(error).split())
            raise TrackingError(f"the end of the run could not be recorded: {reason}") from error

    def end_early(self, error: BaseException) -> None:
        """Record what ended the run before it was done."""
        interrupted = isinstance(error, KeyboardInterrupt)
        told = "interrupted" if interrupted else _text(error, LONGEST_TAG)
        self.client.set_tag(self.run_id, "error", told)
        self.client.set_terminated(self.run_id, "KILLED" if interrupted else "FAILED")

    def log(
        self,
        metrics: Mapping[str, float],
        dataset: DatasetInput,
        files: Path,
        curves: Curves = NO_CURVES,
    ) -> None:
        """Record a finished run: its metrics, its images, the files in a folder, and its curves."""
        with _recording(files):
            told = {DIGESTS: json.dumps(digests(files))}
            _log_metrics(self.client, self.run_id, metrics, curves, told)
            _log_dataset(self.client, self.run_id, dataset)
            self.client.log_artifacts(self.run_id, str(files))

    def log_model(self, model: contextlib.AbstractContextManager[ServedModel]) -> None:
        """Record what can be served of the run, as an MLflow model."""
        with model as served, _recording(served.folder):
            _log_model(self.client.tracking_uri, self.run_id, served)
        uri = f"runs:/{self.run_id}/{served.name}"
        log.info("serve it: mlflow models serve --model-uri %s --env-manager local", uri)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    own = {"mlflow.user": getpass.getuser(), "mlflow.source.name": "gad_bench", **_owner()}
    return {allowed_name(key): _text(value, LONGEST_TAG) for key, value in tags.items()} | own


def _owner() -> dict[str, str]:
    """Return the tag by which a later process tells that this one was killed."""
    mark = owner_mark()
    return {OWNER: mark} if mark else {}


def _text(value: object, longest: int) -> str:
    """Return a value as text that can be stored: what is no UTF-8 in a file's name is escaped."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")[:longest]


def _log_metrics(
    client: MlflowClient,
    run_id: str,
    metrics: Mapping[str, float],
    curves: Curves = NO_CURVES,
    tags: Mapping[str, str] | None = None,
) -> None:
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    points = {key: [value] for key, value in metrics.items()} | dict(curves)
    entries = [
        Metric(metric_name(key), float(value), now, step)
        for key, values in points.items()
        for step, value in enumerate(values)
    ]
    told = [RunTag(key, value) for key, value in (tags or {}).items()]
    for start in range(0, max(1, len(entries)), 900):  # MLflow's limit for a batch is 1000 of both
        client.log_batch(run_id, metrics=entries[start : start + 900], tags=told)


def _log_model(uri: str, run_id: str, model: ServedModel) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

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


def _sweep_tag(sweep: str) -> str:
    """Return a sweep's name as it is tagged: MLflow's filters cannot escape the quotes they use."""
    return _text(sweep, LONGEST_TAG).replace('"', "'")


def _of_sweep(sweep: str) -> str:
    """Return the filter that finds what is tagged as a sweep's."""
    return f'tags.{SWEEP} = "{_sweep_tag(sweep)}"'


def _find_parent(client: MlflowClient, experiment_id: str, sweep: str) -> str | None:
    wanted = f"{_of_sweep(sweep)} and tags.{ROLE} = '{PARENT}'"
    found = client.search_runs([experiment_id], wanted, max_results=1)
    return str(found[0].info.run_id) if found else None


def _end_abandoned(client: MlflowClient, experiment_id: str, sweep: str) -> None:
    """End the runs whose process died; one that lives on all the same says so when it is done."""
    wanted = f"{_of_sweep(sweep)} and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment_id], wanted):
        client.set_terminated(run.info.run_id, "KILLED")


def _dataset_entity(dataset: DatasetInput) -> Any:  # noqa: ANN401 - an mlflow entity
    from mlflow import entities

    return entities.DatasetInput(
        entities.Dataset(
            name=_text(dataset.name, LONGEST_TAG),
            digest=dataset.digest[:36],  # MLflow's limit
            source_type="local",
            source=_text(dataset.source, LONGEST_TAG),
        ),
        [],
    )
