"""`python -m gad_bench`: the command line."""

from __future__ import annotations

import signal
import sys

from gad_bench.base.command import INTERRUPTED, tell_of_interrupt
from gad_bench.base.interrupt import heed_interrupts, was_interrupted
from gad_bench.base.process import SINCE_START, quick_imports
from gad_bench.launch.help import asks_for_help, help_text


def main() -> None:
    """Show the help, or hand over to Hydra, and end with the status that DESIGN gives."""
    if asks_for_help(sys.argv[1:]):
        print(help_text(sys.argv[1:]))
        return
    heed_interrupts()
    try:
        status = _launch()
    except KeyboardInterrupt:  # before Hydra began, or while a sweep's end was told
        status = tell_of_interrupt()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to be done but to end
    sys.exit(INTERRUPTED if was_interrupted() else status)


def _launch() -> int:
    SINCE_START.restart()
    with quick_imports():
        from gad_bench.launch.job import launch
    SINCE_START.lap("imports")
    return launch()


if __name__ == "__main__":
    main()
