"""The code of the MLflow model: MLflow copies this file and runs it where the model is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from gad_bench.deploy.detector import Detector
from gad_bench.deploy.http import answer_in_one_line, score

BLANK = np.zeros((8, 8, 3), np.uint8)


class DetectorModel(PythonModel):
    """From image files' contents, a row each in the column "image", to a row of scores each."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - MLflow's
        """Load the detector that lies with the model, and mind what a server answers."""
        answer_in_one_line()
        self.detector = Detector.load(context.artifacts["detector"])
        self.detector.predict(
            BLANK, heat_maps=False
        )  # compiles the backbone, so that no request waits for it

    def predict(
        self,
        context: Any,  # noqa: ANN401, ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Score images; see `http.score`."""
        return score(self.detector, model_input)


set_model(DetectorModel())
