"""Stored features and images, listed, verified, pruned and shared: `python -m gad_bench.cache`."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gad_bench.base.command import DONE, FAILED, run_told
from gad_bench.base.errors import UserError
from gad_bench.base.process import cache_folder
from gad_bench.base.remote import RemoteFolder
from gad_bench.features.remote import RemoteStore, Transfer
from gad_bench.features.shards import ABOUT, StoredExtraction
from gad_bench.features.upkeep import (
    Holding,
    Kept,
    choose_surplus,
    choose_unused,
    damaged_files,
    holdings,
    kept_images,
    leftovers,
    size_of,
)

DAY = 86_400  # seconds
UNITS = ("B", "kB", "MB", "GB", "TB")
SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kmgt]?)b?", re.IGNORECASE)
COLUMNS = (*ABOUT, "blocks", "images", "passes", "size", "made", "last used", "state")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command and return the exit status."""
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    return run_told(lambda: _carry_out(command, chosen))


def _carry_out(command: Callable[[argparse.Namespace], int], chosen: argparse.Namespace) -> int:
    try:
        return command(chosen)
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from error


def list_store(chosen: argparse.Namespace) -> int:
    """Print a line for each extraction, the longest unused first, and one for images by size."""
    held = holdings(chosen.cache_dir)
    if held:
        _print_table([COLUMNS, *(_row(holding, time.time()) for holding in held)])
    total = format_size(sum(holding.size for holding in held))
    print(f"{len(held)} extractions, {total}, in {chosen.cache_dir}")
    for kept in kept_images(chosen.cache_dir):
        age = _format_age(time.time() - kept.used)
        print(f"{kept.name}, {format_size(kept.size)}, last used {age} ago, in {kept.folder}")
    for path in leftovers(chosen.cache_dir):
        print(f"{path}: not read any more, {format_size(size_of(path))}; prune removes it")
    return DONE


def verify(chosen: argparse.Namespace) -> int:
    """Check every byte and name the damaged files."""
    files = size = 0
    damaged = []
    for path, is_damaged in damaged_files(chosen.cache_dir):
        files += 1
        size += path.stat().st_size if path.exists() else 0
        if is_damaged:
            damaged.append(path)
            print(f"damaged: {path}")
    print(f"{files} files checked, {format_size(size)}, in {chosen.cache_dir}")
    if damaged:
        print(f"{len(damaged)} damaged: the next run that needs one makes it again")
    return FAILED if damaged else DONE


def prune(chosen: argparse.Namespace) -> int:
    """Remove what was not used for long, then the longest unused until the rest fits."""
    held: list[Kept] = [*holdings(chosen.cache_dir), *kept_images(chosen.cache_dir)]
    doomed = []
    if chosen.older_than is not None:
        doomed = choose_unused(held, time.time() - chosen.older_than * DAY)
    if chosen.max_size is not None:
        doomed += choose_surplus([one for one in held if one not in doomed], chosen.max_size)
    freed = sum(_remove_kept(kept, chosen.dry_run) for kept in doomed)
    freed += sum(_remove_leftover(path, chosen.dry_run) for path in leftovers(chosen.cache_dir))
    print(f"{format_size(freed)} {'would be' if chosen.dry_run else 'were'} freed")
    return DONE


def push(chosen: argparse.Namespace) -> int:
    """Copy finished extractions to a store on object storage, as far as it lacks them."""
    return _transfer(_remote_store(chosen).push(), f"to {chosen.url}")


def pull(chosen: argparse.Namespace) -> int:
    """Copy finished extractions from a store on object storage, each file checked as it arrives."""
    return _transfer(_remote_store(chosen).pull(), f"from {chosen.url}")


def _remote_store(chosen: argparse.Namespace) -> RemoteStore:
    return RemoteStore(RemoteFolder.at(chosen.url), chosen.cache_dir)


def _transfer(transfers: Iterable[Transfer], way: str) -> int:
    """Tell of each extraction as it is done, and return whether nothing was refused."""
    extractions = files = size = refused = 0
    for done in transfers:
        extractions, files, size = extractions + 1, files + done.files, size + done.size
        refused += len(done.refused)
        place = f"{done.extraction.entry.name}/{done.extraction.name}"
        if done.unfinished:
            print(f"unfinished there: {place}")
        elif done.files:
            print(f"{done.files} files, {format_size(done.size)}: {place}")
    print(f"{extractions} extractions, {files} files, {format_size(size)}, {way}")
    if refused:
        print(f"{refused} files were refused")
    return FAILED if refused else DONE


def format_size(size: float) -> str:
    """Return a number of bytes for people, in powers of 1000."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1000
    return f"{size:.4g} {UNITS[-1]}"


def parse_size(text: str) -> int:
    """Return the bytes that a size such as 500M or 20GB means, in powers of 1000.

    Raises:
        argparse.ArgumentTypeError: it is no size.
    """
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: give one such as 500M or 20GB")
    return round(float(match[1]) * 1000 ** ("", *"kmgt").index(match[2].lower()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gad_bench.cache", description=str(__doc__))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        "--cache-dir",
        type=lambda text: Path(text).expanduser(),
        default=str(cache_folder()),
        metavar="DIR",
        help="the folder that holds the store (%(default)s)",
    )
    for name, function in (("list", list_store), ("verify", verify), ("prune", prune)):
        text = (function.__doc__ or "").rstrip(".")
        command = commands.add_parser(name, parents=[place], help=text, description=text)
        command.set_defaults(command=function)
    _add_prune_options(command)
    for name, function in (("push", push), ("pull", pull)):
        text = (function.__doc__ or "").rstrip(".")
        command = commands.add_parser(name, parents=[place], help=text, description=text)
        command.add_argument("url", metavar="URL", help="its folder, as in s3://bucket/features")
        command.set_defaults(command=function)
    return parser


def _add_prune_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--older-than", type=_days, metavar="DAYS", help="what was not used for so long goes"
    )
    command.add_argument(
        "--max-size", type=parse_size, metavar="SIZE", help="what does not fit goes, as in 20GB"
    )
    command.add_argument("--dry-run", action="store_true", help="tell what would go, and keep it")


def _days(text: str) -> float:
    days = float(text)
    if not days >= 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of days")
    return days


def _row(holding: Holding, now: float) -> tuple[str, ...]:
    return (
        *(holding.about.get(key, "?") for key in ABOUT),
        _blocks(holding.extraction),
        str(holding.images or "?"),
        str(holding.passes),
        format_size(holding.size),
        _format_age(now - holding.made),
        _format_age(now - holding.used),
        _state(holding),
    )


def _blocks(extraction: StoredExtraction) -> str:
    """Return which blocks an extraction holds, for people."""
    deepest = extraction.deepest
    return f"maps of block {deepest}" if extraction.maps else f"0-{deepest}"


def _state(holding: Holding) -> str:
    if not holding.images:
        return "recipe damaged"
    if holding.is_complete:
        return "complete"
    running = ", running" if holding.extraction.is_locked() else ""
    return f"{holding.parts} of {holding.all_parts} parts{running}"


def _format_age(seconds: float) -> str:
    for unit, length in (("d", DAY), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _remove_kept(kept: Kept, dry_run: bool) -> int:
    """Remove it unless it is being extracted; tell of it and return the bytes freed."""
    line = f"{kept.name}, {format_size(kept.size)}: {kept.folder}"
    if _is_running(kept) or not (dry_run or kept.remove()):
        print(f"kept, it is being extracted: {line}")
        return 0
    print(f"{'would remove' if dry_run else 'removed'}: {line}")
    return kept.size


def _is_running(kept: Kept) -> bool:
    return isinstance(kept, Holding) and kept.extraction.is_locked()


def _remove_leftover(path: Path, dry_run: bool) -> int:
    size = size_of(path)
    print(f"{'would remove' if dry_run else 'removed'}: {path}, {format_size(size)}")
    if dry_run:
        return size
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return size


if __name__ == "__main__":
    sys.exit(main())
