"""Score new images with a saved detector: `python -m gad_bench.predict`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gad_bench.base.command import DONE, FAILED, names, option, run_command

USAGE = """
Score images with a saved detector; writes OUTPUT/scores.csv, a row per image, and, where the
run localised, a picture per image in OUTPUT/heat_maps.

  python -m gad_bench.predict detector=DIR images='line_1/*.png'

An image that cannot be read is named and passed over, and the exit status is then 1.
"""
SCORES, HEAT_MAPS = "scores.csv", "heat_maps"


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What is to be scored, and how."""

    detector: str = option("the folder that a run's save= wrote")
    images: str = option("a pattern such as 'new/**/*.png', a folder, or a file")
    output: str = option("the folder that the results go to", "predictions")
    threshold: float | None = option("the score beyond which an image is called anomalous", None)
    weights: str | None = option("the backbone's checkpoint, where it is not where it was", None)
    batch_size: int = option("images a pass through the backbone", 16)
    device: str = option("auto, cpu, cuda, cuda:N or mps", "auto")
    trust: str | None = option("modules of your own that it may name, with commas", None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command and return the exit status."""
    chosen = sys.argv[1:] if arguments is None else arguments
    return run_command(PredictRequest, predict, USAGE, chosen)


def predict(request: PredictRequest) -> int:
    """Score what is asked for, write the results and tell of them.

    Raises:
        UserError: no file matches, or the detector cannot be used.
    """
    from gad_bench.data.folders import find_images

    paths = find_images(request.images)

    from gad_bench.base.files import write_text
    from gad_bench.deploy.detector import SavedDetector

    detector = SavedDetector.load(
        request.detector,
        weights=request.weights,
        device=request.device,
        batch_size=request.batch_size,
        trust=names(request.trust),
    )
    found = detector.predict(paths, threshold=request.threshold, skip_unreadable=True)
    output = Path(request.output).expanduser()
    write_text(output / SCORES, found.table().to_csv(index=False))
    if found.heat_maps is not None:
        from gad_bench.figures.heat_maps import write_overlays

        write_overlays(found.images, found.heat_maps, output / HEAT_MAPS)
    for reason in found.unreadable.values():
        print(f"passed over: {reason}", file=sys.stderr)
    rule, decided = detector.scorer.rule, found.anomalous
    called = "" if decided is None else f", {decided.sum()} anomalous"
    passed = f", {len(found.unreadable)} passed over" if found.unreadable else ""
    print(rule.told if request.threshold is None else rule.told_beside(request.threshold))
    print(f"{len(found.scores)} images scored{called}{passed}: {output / SCORES}")
    return FAILED if found.unreadable else DONE


if __name__ == "__main__":
    sys.exit(main())
