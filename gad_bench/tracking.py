"""Where runs are recorded: MLflow, or nowhere. The only module, with the report, that knows it."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from gad_bench.errors import UserError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

LONGEST_VALUE = 6000  # MLflow's limit for a parameter
LONGEST_TAG = 5000


@dataclass(frozen=True, kw_only=True)
class Description:
    """What identifies a run before it starts."""

    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    parent: str | None = None  # run id of the sweep's parent run


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """The images that a run used: a name, where they lie, and a digest of their content."""

    name: str
    source: str
    digest: str


class TrackedRun(Protocol):
    """A run that is being recorded."""

    def log(self, metrics: Mapping[str, float], dataset: DatasetInput, files: Path) -> None:
        """Record a finished run: its metrics, its images and the files in a folder."""


class Tracker(Protocol):
    """Where runs are recorded."""

    @property
    def viewer(self) -> str | None:
        """The command or address that shows the runs."""

    def run(self, description: Description) -> contextlib.AbstractContextManager[TrackedRun]:
        """Open a run; it ends as failed when the block raises."""


@dataclass(frozen=True, kw_only=True)
class NoTracking:
    """Record nothing."""

    viewer = None

    @contextlib.contextmanager
    def run(self, description: Description) -> Iterator[NoTracking]:  # noqa: ARG002
        """Open nothing."""
        yield self

    def log(self, metrics: Mapping[str, float], dataset: DatasetInput, files: Path) -> None:
        """Record nothing."""


@dataclass(frozen=True, kw_only=True)
class MLflow:
    """Record runs in MLflow."""

    uri: str
    experiment: str

    def __post_init__(self) -> None:
        if urlsplit(self.uri).password:
            raise UserError(
                "tracking.uri holds a password, which would be written to disk with the config: "
                "give it to MLflow by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )

    @property
    def viewer(self) -> str:
        """The command or address that shows the runs."""
        if urlsplit(self.uri).scheme in ("http", "https"):
            return self.uri
        return f"mlflow ui --backend-store-uri {self.uri}"

    @contextlib.contextmanager
    def run(self, description: Description) -> Iterator[MLflowRun]:
        """Open an MLflow run; it ends as FINISHED, or FAILED when the block raises.

        Raises:
            UserError: the store cannot be reached; nothing has been computed by then.
        """
        client, experiment_id = _open_store(self.uri, self.experiment)
        parent = {"mlflow.parentRunId": description.parent} if description.parent else {}
        run = client.create_run(
            experiment_id,
            run_name=description.name,
            tags={key: str(value)[:LONGEST_TAG] for key, value in description.tags.items()}
            | {"mlflow.user": getpass.getuser(), "mlflow.source.name": "gad_bench"}
            | parent,
        )
        tracked = MLflowRun(client, run.info.run_id)
        status = "FAILED"
        try:
            tracked.log_params(description.params)
            yield tracked
            status = "FINISHED"
        finally:
            client.set_terminated(run.info.run_id, status)


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
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(
            self.run_id,
            metrics=[Metric(key, float(value), now, 0) for key, value in metrics.items()],
        )
        self.client.log_inputs(self.run_id, datasets=[_dataset_entity(dataset)])
        self.client.log_artifacts(self.run_id, str(files))


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


@cache
def _open_store(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """Return a client and the experiment's id, making store and experiment where they are new."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

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


def _one_at_a_time(uri: str) -> contextlib.AbstractContextManager[Any]:
    """Lock out other processes: several that set up a fresh store at once break it."""
    import tempfile

    from filelock import FileLock

    parts = urlsplit(uri)
    if parts.scheme.startswith("sqlite"):
        database = Path(parts.path.removeprefix("/")).absolute()
        database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{database}.lock")
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"gad_bench-{digest}.lock")
