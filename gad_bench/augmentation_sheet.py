"""Augmented training images, a row a category: `python -m gad_bench.augmentation_sheet`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from gad_bench.base.command import DONE, run_told
from gad_bench.base.errors import UserError
from gad_bench.config import build, build_dataset, compose_config
from gad_bench.data.augmentation import Augmentation, NoAugmentation
from gad_bench.data.catalog import Dataset
from gad_bench.data.fingerprint import fingerprint
from gad_bench.features.extraction import read_input
from gad_bench.figures.contact_sheet import Thumbnail, draw_contact_sheet
from gad_bench.figures.style import save_picture

SIDE = 256  # pixels


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the sheet and return the exit status."""
    chosen = _parser().parse_intermixed_args(arguments)
    return run_told(lambda: _draw(chosen))


def _draw(chosen: argparse.Namespace) -> int:
    config = compose_config(["augmentation=paper", *chosen.overrides])
    try:
        draw_sheet(config, chosen.categories, chosen.columns, chosen.output)
    except OSError as error:
        raise UserError(f"{chosen.output}: {error.strerror}") from error
    print(chosen.output)
    return DONE


def draw_sheet(
    config: DictConfig, categories: Sequence[str] | None, columns: int, output: Path
) -> None:
    """Draw categories by columns: a training image as it is, then others as passes show them.

    Args:
        config: its data set, augmentation and cache_dir.
        categories: some of the data set's; None for all.
        columns: images a category.
        output: the PNG file.

    Raises:
        UserError: there are no such images, or nothing is augmented.
    """
    dataset = build_dataset(config)
    augmentation: Augmentation = build(config.augmentation)
    if isinstance(augmentation, NoAugmentation):
        raise UserError("augmentation=none changes no image: choose another for the sheet")
    if columns < 1:
        raise UserError(f"--columns must be at least 1, not {columns}")
    cache_dir = Path(config.cache_dir).expanduser()
    rows = {
        category: list(_row(dataset, category, augmentation, columns, cache_dir))
        for category in categories or dataset.category_names()
    }
    save_picture(draw_contact_sheet(rows), output)


def _row(
    dataset: Dataset, category: str, augmentation: Augmentation, columns: int, cache_dir: Path
) -> Iterator[Thumbnail]:
    """Yield panels of images spread over the training set, each in the pass of its column."""
    catalog, limits = dataset.catalog(category), dataset.facts(category)
    training = list(catalog["path"][catalog["split"] == "train"])
    numbers = np.linspace(0, len(training) - 1, columns).round().astype(int)
    paths = [training[number] for number in numbers]
    yield Thumbnail(read_input(paths[0], SIDE), "as it is", anomalous=False)
    for number, digest in enumerate(fingerprint(paths, cache_dir).digests[1:], start=1):
        image = read_input(paths[number], SIDE)
        shown = augmentation.augment(image, digest, number, limits)
        yield Thumbnail(shown, f"pass {number}", anomalous=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gad_bench.augmentation_sheet", description=str(__doc__)
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="as for a run: dataset=..., augmentation.probability=1 to see changes alone",
    )
    parser.add_argument("--categories", nargs="+", metavar="NAME", help="some categories alone")
    parser.add_argument("--columns", type=int, default=8, help="images a category (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("augmentation.png"), help="the file (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
