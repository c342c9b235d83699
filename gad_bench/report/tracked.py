"""Runs read from MLflow, with those that are missing from the product of what is there."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from gad_bench.base.command import one_line
from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.base.run_folder import COST_DEVICE, EXAMPLES, RESAMPLES, SCORES
from gad_bench.report.frame import FOLDS, Run, Setting, Status, default_of
from gad_bench.steps.identity import CHOICES
from gad_bench.tracking import without_password
from gad_bench.tracking.mlflow_page import plain_metric_name, plain_params
from gad_bench.tracking.mlflow_store import absolute, hide_progress

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PAGE = 1000  # runs a request
FILES = (SCORES, RESAMPLES, EXAMPLES)  # what a report reads of a run beside its numbers
AT_ONCE = 8  # runs whose files are fetched
TAGS = (*CHOICES, "dataset", "category", "fold", "experiment", COST_DEVICE)
SQLITE = b"SQLite format 3\0"  # how a database's file begins
log = logging.getLogger(__name__)

FINISHED, FAILED = ("FINISHED",), ("FAILED", "KILLED")


def read_tracked(uri: str, experiment: str, fetched: Path | None = None) -> list[Run]:
    """Return every run of an MLflow experiment, and those that its product lacks.

    The place of one whose recorded files are in a folder of this machine is that folder.

    Args:
        uri: the store's.
        experiment: its name.
        fetched: a folder, for those files of other runs that a report reads.

    Raises:
        UserError: the store cannot be read, or has no such experiment, or no run in it.
    """
    recorded = [
        run for run in reversed(list(_search(uri, experiment))) if "category" in run.data.tags
    ]
    places = {run.info.run_id: _local(run.info.artifact_uri) for run in recorded}
    if fetched:
        places |= _fetch(uri, [own for own in recorded if not places[own.info.run_id]], fetched)
    runs = [_read_run(run, places[run.info.run_id]) for run in recorded]
    if not runs:
        raise UserError(
            f"experiment {experiment} of {without_password(uri)} holds no run of gad_bench"
        )
    return runs + list(missing_from_product(runs))


def missing_from_product(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs that each setting lacks of its data set's categories and its kind of folds."""
    there = list(runs)
    settings: dict[Setting, Run] = {run.setting: run for run in there}
    categories: dict[str, dict[str, Run]] = {}
    folds: dict[object, dict[str, Run]] = {}
    done = {(run.setting, run.keys["category"], run.keys["fold"]) for run in there}
    for run in there:
        categories.setdefault(run.keys["dataset"], {})[run.keys["category"]] = run
        folds.setdefault(_fold_kind(run.keys), {})[run.keys["fold"]] = run
    for setting, run in settings.items():
        for category, alike in categories[run.keys["dataset"]].items():
            for fold, numbered in folds[_fold_kind(run.keys)].items():
                if (setting, category, fold) not in done:
                    yield _missing(run.keys, alike.keys, numbered.keys)


def _missing(
    setting: Mapping[str, str], alike: Mapping[str, str], numbered: Mapping[str, str]
) -> Run:
    """Return the place of a run: one's setting, another's category, a third's fold."""
    facts = "dataset.categories."
    keys = {key: value for key, value in setting.items() if not key.startswith(facts)}
    keys |= {key: value for key, value in alike.items() if key.startswith(facts)}
    keys |= {"category": alike["category"], "fold": numbered["fold"]}
    if "fold.index" in numbered:
        keys["fold.index"] = numbered["fold.index"]
    return Run(keys=keys, status=Status.MISSING, reason="never recorded")


def _fold_kind(keys: Mapping[str, str]) -> object:
    return tuple(
        (key, value)
        for key, value in sorted(keys.items())
        if key.startswith("fold.") and key != "fold.index"
    )


def _local(uri: str) -> Path | None:
    """Return the folder that an address names, if it is one of this machine and there."""
    parts = urlsplit(uri)
    path = Path(unquote(parts.path)) if parts.scheme in ("", "file") else None
    return path if path and path.is_dir() else None


def _fetch(uri: str, recorded: Sequence[Any], folder: Path) -> dict[str, Path | None]:
    """Fetch what a report reads of finished runs' files, to a folder a run; tell where none is."""
    from mlflow.tracking import MlflowClient

    hide_progress()
    client = MlflowClient(absolute(uri))
    finished = [run.info.run_id for run in recorded if run.info.status in FINISHED]
    reasons: list[str] = []

    def fetch(run_id: str) -> Path | None:
        own = folder / run_id
        try:
            there = {file.path for file in client.list_artifacts(run_id)}
            for name in filter(there.__contains__, FILES):
                own.mkdir(exist_ok=True)
                client.download_artifacts(run_id, name, str(own))
        except Exception as error:  # a server's own, an object store's
            reasons.append(one_line(error))
        return own if own.is_dir() else None

    with ThreadPoolExecutor(AT_ONCE) as threads:
        places = dict(zip(finished, threads.map(fetch, finished), strict=True))
    lacking = [run_id for run_id in finished if places[run_id] is None]
    if lacking:
        log.warning(
            "the files of %d of %d finished runs are not at hand (%s): what the same images tell "
            "apart is not said of them",
            len(lacking),
            len(finished),
            without_password(reasons[0]) if reasons else f"there are none of run {lacking[0]}",
        )
    return {run.info.run_id: places.get(run.info.run_id) for run in recorded}


def _read_run(run: Any, files: Path | None) -> Run:  # noqa: ANN401 - an mlflow entity
    tags = {key: run.data.tags[key] for key in TAGS if key in run.data.tags}
    place = str(files) if files else f"MLflow run {run.info.run_id}"
    ended = (run.info.end_time or run.info.start_time or 0) / 1000
    params = plain_params(run.data.params)
    keys = {**choices_of(params), **params, **tags}
    if run.info.status in FINISHED:
        metrics = {plain_metric_name(name): value for name, value in run.data.metrics.items()}
        return Run(keys=keys, status=Status.FINISHED, metrics=metrics, ended=ended, place=place)
    failed = run.info.status in FAILED
    return Run(
        keys=keys,
        status=Status.FAILED if failed else Status.MISSING,
        ended=ended,
        place=place,
        reason=run.data.tags.get("error", run.info.status.lower()),
    )


def choices_of(params: Mapping[str, str]) -> dict[str, str]:
    """Return the choice of each group of which only one builds the class that was built."""
    targets = {key.removesuffix("._target_"): value for key, value in params.items()}
    return {
        FOLDS if group == "fold" else group: choices[0]
        for group, target in targets.items()
        if len(choices := _choices_by_class().get((group, target), [])) == 1
    }


@cache
def _choices_by_class() -> dict[tuple[str, str], list[str]]:
    choices: dict[tuple[str, str], list[str]] = {}
    for path in sorted(config_folder().glob("*/[!_]*.yaml")):
        target = default_of(path.parent.name, path.stem).get("_target_", "")
        choices.setdefault((path.parent.name, target), []).append(path.stem)
    return choices


def _search(uri: str, experiment: str) -> Iterator[Any]:
    """Yield an experiment's runs, the newest first."""
    _require_store(uri)
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(absolute(uri))
        found = client.get_experiment_by_name(experiment)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            without_password(f"tracking store {uri} cannot be read: {reason}")
        ) from error
    if found is None:
        names = ", ".join(one.name for one in client.search_experiments())
        raise UserError(
            f"{without_password(uri)} has no experiment {experiment!r}: choose from {names}"
        )
    yield from _pages(client, found.experiment_id)


def _require_store(uri: str) -> None:
    """Refuse a database that isn't there or is none, which MLflow would make or try for minutes."""
    parts = urlsplit(uri)
    path = Path(parts.path.removeprefix("/") if parts.scheme.startswith("sqlite") else parts.path)
    if parts.scheme in ("", "file") and not path.is_dir():
        raise UserError(f"there is no MLflow store {path.absolute()}: a database is sqlite:///PATH")
    if not parts.scheme.startswith("sqlite"):
        return
    if not path.is_file():
        raise UserError(f"there is no MLflow database {path.absolute()}")
    try:
        with path.open("rb") as file:
            header = file.read(len(SQLITE))
    except OSError as error:
        raise UserError(f"the MLflow database {path.absolute()} cannot be read: {error}") from error
    if header != SQLITE:
        raise UserError(f"{path.absolute()} is no MLflow database: its content is none of SQLite's")


def _pages(client: MlflowClient, experiment_id: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
