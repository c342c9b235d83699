"""Score other images with a saved detector, and record it: `python -m gad_bench.evaluate`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gad_bench.base.command import DONE, names, option, run_command
from gad_bench.base.errors import UserError

USAGE = """
Evaluate a saved detector on another category or data set (domain shift), and record it as a run.

  python -m gad_bench.evaluate detector=DIR category=cable
  python -m gad_bench.evaluate detector=DIR dataset=folder dataset.root=parts category=screw,nut

dataset=, category=, seed=, batch_size=, device=, cache_dir=, keep_images=, figures= and tracking=
are those of `python -m gad_bench`, and so are their own keys. All else is the detector's. The runs
go to the experiment gad_bench_evaluate.
"""
OVERRIDES = ("category", "seed", "batch_size", "device", "cache_dir", "keep_images", "figures")
GROUPS = ("dataset", "tracking")
EXPERIMENT = "gad_bench_evaluate"


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What is to be evaluated; the data set is named by overrides of the config."""

    detector: str = option("the folder that a run's save= wrote")
    output: str | None = option("the folder that the results go to (outputs/DATE/TIME)", None)
    images: str = option("test, or all: the category's training images as well", "test")
    weights: str | None = option("the backbone's checkpoint, where it is not where it was", None)
    trust: str | None = option("modules of your own that it may name, with commas", None)
    config_dir: str | None = option("a folder of your own choices, such as a data set", None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command and return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    overrides = [one for one in given if _is_override(one)]
    own = [one for one in given if one not in overrides]
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    return run_command(EvaluateRequest, lambda request: evaluate(request, overrides), USAGE, own)


def evaluate(request: EvaluateRequest, overrides: Sequence[str]) -> int:
    """Evaluate the detector on each category that is named.

    Raises:
        UserError: the detector or the data set cannot be used.
    """
    from gad_bench.config import compose_config, override

    if request.images not in ("test", "all"):
        raise UserError(f"images={request.images} is unknown: choose test or all")
    categories = [one for one in overrides if one.startswith("category=")]
    chosen = categories[-1].partition("=")[2].split(",") if categories else []
    if not chosen:
        raise UserError("category= is missing: name one of the data set's, or several with commas")
    rest = [one for one in overrides if one not in categories]
    if request.config_dir:
        rest.append(f"hydra.searchpath=[file://{Path(request.config_dir).absolute()}]")
    if not any(one.startswith(("tracking.experiment=", "tracking=none")) for one in rest):
        rest.append(f"tracking.experiment={EXPERIMENT}")
    configs = [compose_config([*rest, override("category", name)]) for name in chosen]

    from gad_bench.deploy.detector import SavedDetector
    from gad_bench.deploy.evaluation import adopt, evaluate_detector

    folder, trust = Path(request.detector).expanduser(), names(request.trust)

    detector = SavedDetector.load(
        request.detector,
        weights=request.weights,
        device=configs[0].device,
        batch_size=configs[0].batch_size,
        trust=trust,
    )
    output = Path(request.output or f"outputs/{datetime.now():%Y-%m-%d/%H-%M-%S-%f}").expanduser()
    adopted = [adopt(config, folder, trust) for config in configs]
    for name, own, config in zip(chosen, adopted, configs, strict=True):
        place = output / name if len(chosen) > 1 else output
        evaluate_detector(detector, own, config, place, request.images)
    return DONE


def _is_override(argument: str) -> bool:
    key = argument.partition("=")[0]
    return key in OVERRIDES or key.partition(".")[0] in GROUPS


if __name__ == "__main__":
    sys.exit(main())
