"""`python -m gad_bench`: the command line."""

from __future__ import annotations

import sys

from gad_bench.base.command import run_told, show
from gad_bench.base.process import SINCE_START, quick_imports
from gad_bench.launch.help import asks_for_help, help_text


def main() -> None:
    """Show the help, or hand over to Hydra, and end with the status that DESIGN gives."""
    arguments = sys.argv[1:]
    if asks_for_help(arguments):
        sys.exit(run_told(lambda: show(help_text(arguments))))
    if "--version" in arguments:
        sys.exit(run_told(lambda: show(f"gad_bench {_version()}")))
    SINCE_START.restart()
    with quick_imports():
        from gad_bench.launch.job import launch
    SINCE_START.lap("imports")
    sys.exit(run_told(launch))


def _version() -> str:
    from importlib.metadata import version

    return version("gad_bench")


if __name__ == "__main__":
    main()
