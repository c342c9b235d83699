"""MLflow's page of the runs: what it opens with, and under which names numbers stand there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DETAIL = "detail/"
"""Before the names of metrics that are one of many: MLflow folds them into a section of their own,
and its table of runs and the first section of its charts show those of a run as a whole."""
ONE_OF_MANY = re.compile(r"_(sigma|block|defect|fold)_|(?<!^auroc)_ci_(low|high)$")
CLASS, CLASSES = "._target_", "classes"
LONGEST_NAME = 250  # MLflow's limit for a metric's or a parameter's
FORBIDDEN = re.compile(r"[^\w\-./ ]")  # what MLflow allows on every system

LOCAL_SERVER = "http://127.0.0.1:5000"  # of `mlflow ui`
VIEW = "gad_bench"
METRICS = ("auroc", "auroc_ci_low", "auroc_ci_high", "aupr", "aupro", "pixel_auroc")
PARAMS = ("covariance", "backbone", "category", "fold", "detector", "blocks")
COLUMNS = [*(f"metrics.`{name}`" for name in METRICS), *(f"params.`{name}`" for name in PARAMS)]
TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # for early MLflow 3
    f"mlflow.sharedViewState.{VIEW}": json.dumps(
        {
            "orderByKey": "metrics.`auroc`",
            "orderByAsc": False,
            "selectedColumns": COLUMNS,
            "columnOrder": COLUMNS,
        }
    ),
}
"""Of an experiment: how MLflow's page shows it."""


def arrange_page(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> None:
    """Store how the experiment's page looks, where it is not stored yet."""
    for key, value in TAGS.items():
        if tags.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)


def way_to_page(uri: str, experiment_id: str) -> str:
    """Return the page's address, after the command that serves it where it takes one."""
    chosen = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    path = f"/#/experiments/{experiment_id}/runs?{chosen}"
    if is_server(uri):
        return uri.rstrip("/") + path
    return f"mlflow ui --backend-store-uri {uri}, then {LOCAL_SERVER}{path}"


def is_server(uri: str) -> bool:
    """Tell whether an address is a tracking server's."""
    return urlsplit(uri).scheme in ("http", "https")


def metric_name(name: str) -> str:
    """Return under which name MLflow holds a metric."""
    return allowed_name(f"{DETAIL}{name}" if ONE_OF_MANY.search(name) else name)


def is_detail(name: str) -> bool:
    """Tell whether a metric of MLflow's is one of many; the page shows those of a run first."""
    return name.startswith(DETAIL)


def plain_metric_name(name: str) -> str:
    """Return the name that a run's files give a metric of MLflow's."""
    return name.removeprefix(DETAIL)


def page_params(params: Mapping[str, object]) -> dict[str, object]:
    """Return parameters as MLflow holds them: the classes of all groups are one of them."""
    classes = {key: value for key, value in params.items() if key.endswith(CLASS)}
    held = {allowed_name(key): value for key, value in params.items() if key not in classes}
    return held | ({CLASSES: json.dumps(classes)} if classes else {})


def plain_params(params: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters by the names that a run's files give them."""
    rest = {key: value for key, value in params.items() if key != CLASSES}
    return rest | json.loads(params.get(CLASSES, "{}"))


def allowed_name(name: str) -> str:
    """Return a name that MLflow takes for a metric, a parameter or a tag."""
    parts = [part for part in FORBIDDEN.sub("_", name).split("/") if part.strip(".")]
    return "/".join(parts)[:LONGEST_NAME] or "_"  # as a path it must lead nowhere else
