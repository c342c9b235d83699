"""An MLflow store: made whole, opened once a process, rid of what dead processes left."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gad_bench.base.errors import UserError
from gad_bench.base.files import TEMPORARY
from gad_bench.base.owner import is_gone
from gad_bench.tracking.mlflow_page import arrange_page

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

OWNER = "process"  # the tag that tells whose a running run is
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "6"}
"""MLflow's settings until a server has answered once: its own wait four minutes for one that is
not there. Afterwards they are MLflow's own, so that a server may restart during a run."""
ARTIFACTS = "./mlruns"  # MLflow's own place beside a database


def open_store(uri: str, experiment: str, *, patiently: bool) -> tuple[MlflowClient, str]:
    """Return a client and the experiment's id, making store and experiment where they are new.

    Args:
        uri: the store's.
        experiment: its name.
        patiently: wait for a server as long as MLflow does, as a sweep's job should, whose sweep
            has reached it before.

    Raises:
        UserError: the store cannot be used.
    """
    return _open_once(absolute(uri), experiment, patiently)


def hide_progress() -> None:
    """Let MLflow show no bar while it copies files, unless the user's environment asks for it."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def absolute(uri: str) -> str:
    """Return the address of a store, an SQLite one with its whole path.

    MLflow keeps an open store by its address, whatever folder the process is in by then.
    """
    database = database_of(uri)
    return f"sqlite:///{database}" if database else uri


def database_of(uri: str) -> Path | None:
    """Return the file of an SQLite store, wherever the process may be by now."""
    parts = urlsplit(uri)
    return Path(parts.path.removeprefix("/")).absolute() if parts.scheme == "sqlite" else None


@cache
def _open_once(uri: str, experiment: str, patiently: bool) -> tuple[MlflowClient, str]:
    from mlflow.tracking import MlflowClient

    for chatty in ("mlflow", "alembic"):  # after the import, which sets their levels
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(
        logging.CRITICAL
    )  # it raises its errors, too
    hide_progress()
    patience = contextlib.nullcontext() if patiently else _impatience()
    with usable(uri), _one_at_a_time(uri), patience:
        _require_database(uri)
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment)
        arrange_page(client, experiment_id, found.tags if found else {})
        _end_gone(client, experiment_id)
        return client, experiment_id


@contextlib.contextmanager
def usable(uri: str) -> Iterator[None]:
    """Tell in one line that the store cannot be used, before anything is computed.

    Raises:
        UserError: something in the block went wrong.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"tracking.uri={uri} cannot be used ({reason}): "
            "correct it, or run with tracking=none to keep the files alone"
        ) from error


@contextlib.contextmanager
def _impatience() -> Iterator[None]:
    """Give up soon on a server that does not answer, unless the user's environment says when."""
    own = {name: value for name, value in IMPATIENT.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)


def _require_database(uri: str) -> None:
    """Make a fresh SQLite store whole under another name, and give it its own when it is.

    MLflow makes one by dozens of migrations; of what is killed or runs out of disk meanwhile, it
    can use nothing. The caller holds the lock, so a draft that is there was left by a dead process.
    """
    database = database_of(uri)
    if database is None or (database.exists() and database.stat().st_size):
        return
    draft = database.with_name(f"{TEMPORARY}{database.name}")
    _remove_drafts(draft)
    try:
        _make_database(f"sqlite:///{draft}")
        draft.replace(database)
    finally:
        _remove_drafts(draft)


def _make_database(uri: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, ARTIFACTS)  # type: ignore[no-untyped-call]
    store.engine.dispose()


def _remove_drafts(draft: Path) -> None:
    """Remove a draft of a database, with SQLite's journals of it."""
    for end in ("", "-journal", "-wal", "-shm"):
        draft.with_name(draft.name + end).unlink(missing_ok=True)


def _end_gone(client: MlflowClient, experiment_id: str) -> None:
    """End the runs that a process of this machine left when it was killed."""
    from mlflow.exceptions import MlflowException

    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        if is_gone(run.data.tags.get(OWNER, "")):
            with contextlib.suppress(MlflowException):  # somebody else's, on a server with accounts
                client.set_tag(run.info.run_id, "error", "its process ended before it did")
                client.set_terminated(run.info.run_id, "KILLED")


def _one_at_a_time(uri: str) -> contextlib.AbstractContextManager[Any]:
    """Lock out other processes: several that set up a fresh store at once break it."""
    from filelock import FileLock

    database = database_of(uri)
    if database:
        database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{database}.lock")
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"gad_bench-{digest}.lock")
