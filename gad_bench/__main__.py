"""`python -m gad_bench`: the command line."""

from __future__ import annotations

import sys

from gad_bench.base.process import SINCE_START, quick_imports
from gad_bench.launch.help import asks_for_help, help_text


def main() -> None:
    """Show the help, or hand over to Hydra, and end with the status that DESIGN gives."""
    if asks_for_help(sys.argv[1:]):
        print(help_text(sys.argv[1:]))
        return
    SINCE_START.restart()
    with quick_imports():
        from gad_bench.launch.job import launch
    SINCE_START.lap("imports")
    sys.exit(launch())


if __name__ == "__main__":
    main()
