"""An archive for MVTec AD 2's server, from saved detectors: `python -m gad_bench.submit`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gad_bench.base.command import DONE, names, option, run_command
from gad_bench.base.errors import UserError

if TYPE_CHECKING:
    from gad_bench.deploy.detector import SavedDetector

USAGE = """
Write the archive that MVTec AD 2's server takes: heat maps of the private test images as float16
TIFF, masks as PNG. One detector a category, each with heat maps:

  python -m gad_bench -m dataset=mvtec_ad_2 dataset.root=DATA category='*' fold=full \\
      detector=patchcore 'save=detectors/${category}'
  python -m gad_bench.submit detectors='detectors/*' root=DATA output=submission.tar.gz

A mask's threshold is set on validation/good alone. The archive is read back and checked.
"""
SUFFIX = ".tar.gz"


@dataclass(frozen=True, kw_only=True)
class SubmitRequest:
    """What the archive is made of."""

    detectors: str = option("a pattern of the folders that runs' save= wrote, one a category")
    root: str = option("the data set's folder, which holds can/, fabric/ and so on")
    output: str = option("the archive", f"submission{SUFFIX}")
    deviations: float = option("standard deviations of good pixels to a mask's threshold", 3.0)
    partial: bool = option("also with categories missing, which the server does not take", False)
    batch_size: int = option("images a pass through the backbone", 16)
    device: str = option("auto, cpu, cuda, cuda:N or mps", "auto")
    trust: str | None = option("modules of your own that they may name, with commas", None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command and return the exit status."""
    chosen = sys.argv[1:] if arguments is None else arguments
    return run_command(SubmitRequest, submit, USAGE, chosen)


def submit(request: SubmitRequest) -> int:
    """Write the archive, read it back and tell of it.

    Raises:
        UserError: a detector, an image or a category is missing, or cannot be used.
    """
    output, root = Path(request.output).expanduser(), Path(request.root).expanduser()
    if not output.name.endswith(SUFFIX):
        raise UserError(f"output={output} must end in {SUFFIX}")
    detectors = _load(request)
    if not request.partial:
        _require_all(root, detectors)

    from gad_bench.deploy.submission import check_submission, private_images, write_submission

    images = private_images(root, list(detectors))
    thresholds = write_submission(detectors, root, output, request.deviations)
    check_submission(output, images)
    for category, threshold in thresholds.items():
        print(f"{category}: anomalous from {threshold:.4g} on, by its validation/good")
    print(f"{len(images)} images of {len(detectors)} categories, read back and checked: {output}")
    return DONE


def _load(request: SubmitRequest) -> dict[str, SavedDetector]:
    """Return the detectors by category.

    Raises:
        UserError: none is found, or two are of one category.
    """
    from gad_bench.deploy.detector import SavedDetector
    from gad_bench.deploy.format import FACTS

    pattern = Path(request.detectors).expanduser()
    folders = sorted(
        path.parent
        for path in Path(pattern.anchor).glob(str((pattern / FACTS).relative_to(pattern.anchor)))
    )
    if not folders:
        raise UserError(f"detectors={request.detectors} matches no folder that a run's save= wrote")
    detectors: dict[str, SavedDetector] = {}
    for folder in folders:
        detector = SavedDetector.load(
            folder,
            device=request.device,
            batch_size=request.batch_size,
            trust=names(request.trust),
        )
        category = detector.about["category"]
        if category in detectors:
            raise UserError(f"{folder} is a second detector of {category}: name one a category")
        detectors[category] = detector
    return detectors


def _require_all(root: Path, detectors: dict[str, SavedDetector]) -> None:
    """Refuse to leave a category of the data set out.

    Raises:
        UserError: names those that lack a detector.
    """
    lacking = [
        path.name
        for path in (sorted(root.iterdir()) if root.is_dir() else [])
        if (path / "test_private").is_dir() and path.name not in detectors
    ]
    if lacking:
        raise UserError(
            f"no detector of {', '.join(lacking)}: fit and save one, or say partial=true for an "
            "archive that the server does not take"
        )


if __name__ == "__main__":
    sys.exit(main())
