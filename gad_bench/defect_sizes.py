"""The smallest defect of each category: `python -m gad_bench.defect_sizes dataset=demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gad_bench.base.command import DONE, run_told
from gad_bench.config import build_dataset, compose_config
from gad_bench.data.defect_sizes import DefectSize, smallest_defect


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a category and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gad_bench.defect_sizes", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="as for a run: dataset=..., dataset.root="
    )
    parser.add_argument(
        "--categories",
        nargs="+",
        metavar="NAME",
        help="some categories; the data set's own without",
    )
    chosen = parser.parse_intermixed_args(arguments)
    return run_told(lambda: print_sizes(chosen.overrides, chosen.categories))


def print_sizes(overrides: Sequence[str], categories: Sequence[str] | None) -> int:
    """Print a line a category: some of the data set's, or all.

    Raises:
        UserError: there are no such images, or one cannot be read.
    """
    dataset = build_dataset(compose_config(overrides))
    for category in categories or dataset.category_names():
        print(_line(category, smallest_defect(dataset.catalog(category))), flush=True)
    return DONE


def _line(category: str, size: DefectSize | None) -> str:
    if size is None:
        return f"{category}: no masks"
    return f"{category}: {size.pixels} pixels, {size.share:.4%} of the image, in {size.mask}"


if __name__ == "__main__":
    sys.exit(main())
