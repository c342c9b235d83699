"""`python -m gad_bench.report`: tables and plots over many runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from gad_bench.base.command import DONE, run_told
from gad_bench.base.errors import UserError
from gad_bench.report import comparison
from gad_bench.report.frame import Run
from gad_bench.report.report import Request, Where, make_report, named_layouts
from gad_bench.report.text import to_markdown
from gad_bench.tracking import without_password


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table that is asked for, write the report, and return the exit status."""
    options = _parser().parse_args(arguments)
    return run_told(lambda: _report(options))


def _report(options: argparse.Namespace) -> int:
    from gad_bench.report.page import write_report  # matplotlib takes a second

    with TemporaryDirectory() as fetched:
        runs, source = _runs(options, Path(fetched))
        report = make_report(runs, _request(options), source)
        page = write_report(report, options.output)
    print(to_markdown(report.tables[0]))
    if report.comparison:
        print(comparison.to_markdown(report.comparison))
    if report.repeated_text:
        print(report.repeated_text)
    print(f"all tables and plots: {page}")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gad_bench.report",
        description="Compare runs: mean and SEM over categories, folds averaged first.",
        epilog=f"Tables with a name: {', '.join(named_layouts())}.",
    )
    source = parser.add_argument_group(
        "where the runs are (default: the newest sweep in multirun/)"
    )
    source.add_argument(
        "--from", dest="folders", type=Path, nargs="+", metavar="FOLDER", help="output folders"
    )
    source.add_argument("--tracking-uri", metavar="URI", help="an MLflow store, in their place")
    source.add_argument("--experiment", metavar="NAME", help="its experiment (default: gad_bench)")
    what = parser.add_argument_group("what is shown (default: the sweep's own table)")
    what.add_argument("--table", metavar="NAME", help="a table by its name")
    what.add_argument("--rows", metavar="KEY", help="any key of the config; KEY+KEY joins several")
    what.add_argument("--columns", metavar="KEY", help="another; also block, sigma, metric")
    what.add_argument("--metric", metavar="NAME", help="in place of auroc, as in metrics.json")
    what.add_argument(
        "--where", nargs="+", default=[], metavar="KEY=VALUE[,VALUE]", help="only runs with these"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("report"), help="the report's folder (default: report)"
    )
    return parser


def _runs(options: argparse.Namespace, fetched: Path) -> tuple[list[Run], str]:
    """Return the runs, and in words where they come from; a store's files go to a folder."""
    if options.tracking_uri or options.experiment:
        if options.folders:
            raise UserError("--from and --tracking-uri exclude each other: name one source")
        from gad_bench.report.tracked import read_tracked

        uri = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        experiment = options.experiment or "gad_bench"
        source = f"experiment {experiment} of {without_password(uri)}"
        return read_tracked(uri, experiment, fetched), source
    from gad_bench.report.folders import latest_sweep, read_folder

    folders = options.folders or [latest_sweep(Path("multirun"))]
    runs = [run for folder in folders for run in read_folder(folder)]
    return runs, ", ".join(str(folder) for folder in folders)


def _request(options: argparse.Namespace) -> Request:
    if bool(options.rows) != bool(options.columns):
        raise UserError("--rows and --columns make a table together: name both")
    if options.rows and options.table:
        raise UserError("--table has rows and columns of its own: leave --rows and --columns out")
    axes = (options.rows, options.columns) if options.rows else None
    return Request(table=options.table, axes=axes, where=_where(options))


def _where(options: argparse.Namespace) -> Where:
    wrong = [pair for pair in options.where if "=" not in pair]
    if wrong:
        raise UserError(f"--where takes KEY=VALUE, not {wrong[0]!r}")
    pairs = (pair.split("=", 1) for pair in options.where)
    where = {key: values.split(",") for key, values in pairs}
    return where | ({"metric": [options.metric]} if options.metric else {})


if __name__ == "__main__":
    sys.exit(main())
