"""`python -m gad_bench`: the command line."""

from __future__ import annotations

import sys

from gad_bench.base.command import INTERRUPTED, run_told, show, tell_of_interrupt
from gad_bench.base.interrupt import heed_interrupts, ignore_interrupts, was_interrupted
from gad_bench.base.process import SINCE_START, quick_imports
from gad_bench.launch.help import asks_for_help, help_text


def main() -> None:
    """Show the help, or hand over to Hydra, and end with the status that DESIGN gives."""
    arguments = sys.argv[1:]
    if asks_for_help(arguments):
        sys.exit(run_told(lambda: show(help_text(arguments))))
    if "--version" in arguments:
        sys.exit(run_told(lambda: show(f"gad_bench {_version()}")))
    heed_interrupts()
    status = run_told(_launch)
    ignore_interrupts()
    sys.exit(INTERRUPTED if was_interrupted() else status)


def _launch() -> int:
    SINCE_START.restart()
    try:
        with quick_imports():
            from gad_bench.launch.recording import start_recording
        start_recording(sys.argv[1:])
        with quick_imports():
            from gad_bench.launch.job import launch
        SINCE_START.lap("imports")
        return launch()
    except KeyboardInterrupt:  # before Hydra began, or while a sweep's end was told
        return tell_of_interrupt()


def _version() -> str:
    from importlib.metadata import version

    return version("gad_bench")


if __name__ == "__main__":
    main()
