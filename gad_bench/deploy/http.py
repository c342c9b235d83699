"""Requests to MLflow's scoring server: what they may hold, and what is answered otherwise.

A request holds the bytes of image files and never the name of one: nothing that a client sends
makes the server open a file. What is wrong with a request is answered with status 400, what is
wrong with the server with 500, either in one line without a stack trace.
"""

from __future__ import annotations

import base64
import binascii
import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from gad_bench.data.image_head import head_size
from gad_bench.deploy.detector import Detector
from gad_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.exceptions import MlflowException

IMAGE = "image"
SERVER = "mlflow.pyfunc.scoring_server"
LONGEST = 300
"""Characters of a reason: MLflow's own may repeat the request."""
log = logging.getLogger(__name__)


def score(detector: Detector, request: pd.DataFrame) -> pd.DataFrame:
    """Score the images of a request; see `Predictions.table`.

    Args:
        detector: that scores.
        request: a row per image, in the column "image" its file's bytes, or these as base64.

    Raises:
        MlflowException: of status 400, the request holds something else; of status 500, the
            detector failed, and the log says why.
    """
    try:
        images = [_image(number, value) for number, value in enumerate(_column(request))]
        return detector.predict(images, heat_maps=False).table().drop(columns="path")
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
    from mlflow.exceptions import MlflowException

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


def _column(request: Any) -> list[Any]:  # noqa: ANN401 - whatever the client sent
    if IMAGE not in getattr(request, "columns", ()):
        raise UserError(f'the request has no column "{IMAGE}"')
    return list(request[IMAGE])


def _image(number: int, value: Any) -> bytes:  # noqa: ANN401 - whatever the client sent
    """Return an image file's content.

    MLflow decodes base64 in `dataframe_split` and `dataframe_records`, but not elsewhere.
    """
    content = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if isinstance(content, bytes) and head_size(content) is None:
        content = _decoded(content)
    if not isinstance(content, bytes) or head_size(content) is None:
        raise UserError(
            f"image {number} is no image: send the bytes of a PNG, JPEG, BMP, TIFF or WebP file, "
            "in JSON as base64"
        )
    return content


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return None


def _refused(reason: str) -> MlflowException:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    return MlflowException(reason, error_code=INVALID_PARAMETER_VALUE)


def _failed() -> MlflowException:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INTERNAL_ERROR

    return MlflowException("the server failed: its log says why", error_code=INTERNAL_ERROR)
