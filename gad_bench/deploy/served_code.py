"""The code of the MLflow model: MLflow copies this file and runs it where the model is loaded.

What is wrong with a request is answered with status 400, what is wrong with the server with 500,
either in one line without a stack trace.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

from gad_bench.base.errors import UserError
from gad_bench.deploy.detector import SavedDetector
from gad_bench.deploy.serving import score_request

BLANK = np.zeros((8, 8, 3), np.uint8)
SERVER = "mlflow.pyfunc.scoring_server"
LONGEST = 300
"""Characters of a reason: MLflow's own may repeat the request."""
log = logging.getLogger(__name__)


class DetectorModel(PythonModel):
    """From image files' contents, a row each in the column "image", to a row of scores each."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - MLflow's
        """Load the detector that lies with the model, and mind what a server answers."""
        answer_in_one_line()
        self.detector = SavedDetector.load(context.artifacts["detector"])
        # Compiles the backbone, so that no request waits for it.
        self.detector.predict(BLANK, heat_maps=False)

    def predict(
        self,
        context: Any,  # noqa: ANN401, ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Score images; see `serving.score_request`.

        Raises:
            MlflowException: of status 400, the request holds something else; of status 500, the
                detector failed, and the log says why.
        """
        try:
            return score_request(self.detector, model_input)
        except UserError as error:
            raise _refused(str(error)) from error
        except Exception as error:
            log.exception("a request could not be answered")
            raise _failed() from error


def answer_in_one_line() -> None:
    """Make the scoring server of this process, if it is one, answer every bad request in one line.

    What it cannot parse never reaches a model: MLflow answers a number of 10,000 digits or deeply
    nested JSON with status 500, and other mistakes with a stack trace and the request itself.
    """
    server: Any = sys.modules.get(SERVER)
    answer = getattr(server, "invocations", None)
    if answer is not None and not hasattr(answer, "__wrapped__"):
        server.invocations = _in_one_line(answer)


def _in_one_line(answer: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(answer)
    def guarded(data: bytes, content_type: str | None, *others: Any) -> Any:  # noqa: ANN401
        if not content_type:
            raise _refused("the request names no Content-Type, such as application/json")
        try:
            return answer(data, content_type, *others)
        except MlflowException as error:
            if error.get_http_status_code() >= 500:  # type: ignore[no-untyped-call]
                raise _failed() from error
            raise _refused(_reason(error)) from error
        except Exception as error:
            raise _refused(f"the request cannot be read: {_reason(error)}") from error

    return guarded


def _reason(error: Exception) -> str:
    """Return what MLflow says after it has repeated the request, in one line."""
    reason = str(error).rpartition("Error: ")[2].strip()
    return reason.partition("\n")[0][:LONGEST] or type(error).__name__


def _refused(reason: str) -> MlflowException:
    return MlflowException(reason, error_code=INVALID_PARAMETER_VALUE)


def _failed() -> MlflowException:
    return MlflowException("the server failed: its log says why", error_code=INTERNAL_ERROR)


set_model(DetectorModel())
