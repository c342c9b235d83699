"""What Hydra refuses on a command line, in our words: advice that can be followed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from gad_bench.base.choices import (
    choices,
    config_folders,
    default_choices,
    group_names,
    keys_in,
    keys_of,
    main_file,
    near,
)
from gad_bench.base.command import one_line
from gad_bench.base.errors import UserError

UNKNOWN_KEY = re.compile(r"Could not override '(?!hydra\.|dataset\.categories\.)([\w.]+)'")
UNKNOWN_CHOICE = re.compile(r"Could not find '(.+)/([^/']+)'")


def explained(error: Exception, arguments: Sequence[str]) -> Exception:
    """Return an error of Hydra's as the user's, in our words; others as they are.

    Args:
        error: as Hydra raised it.
        arguments: of the command line.
    """
    text = _explanation(error, arguments)
    if text is None:
        return error
    mistake = UserError(text)
    mistake.__cause__ = error
    return mistake


def no_such_key(key: str, known: Sequence[str]) -> str:
    """Return the words for a key that there is not.

    Args:
        key: dotted.
        known: the keys in whose place it stands, dotted.
    """
    group, dot, own = key.rpartition(".")
    beside = [name.removeprefix(f"{group}.") for name in known] if dot else known
    close = [f"{group}{dot}{name}" for name in near(own, beside)]
    if close:
        return f"{key} is no key of the config: near it: {', '.join(close)}"
    if "." in key:
        return f"{key} is no key of the config: choose from {', '.join(known)}"
    return f"{key} is no key of the config: --help lists them all"


def _explanation(error: Exception, arguments: Sequence[str]) -> str | None:
    text, folders = str(error), config_folders(arguments)
    if type(error).__name__ == "OverrideParseException":
        return _unreadable(str(getattr(error, "override", "")), one_line(error))
    if found := UNKNOWN_KEY.search(text):
        return no_such_key(found[1], _keys_beside(found[1], folders, arguments))
    if found := UNKNOWN_CHOICE.search(text):
        return _no_such_choice(found[1], found[2], list(choices(folders, found[1])))
    return None


def _unreadable(override: str, reason: str) -> str:
    key, equals, value = override.partition("=")
    if not equals:
        return f"{override} is no KEY=VALUE: --help lists the keys"
    inner = value.strip("'\"").replace('"', '\\"')
    example = shlex.quote(f'{key}="{inner}"')
    reason = reason.partition(" See http")[0].partition(":")[0]
    return f"{override} cannot be read ({reason}): quote the value, as in {example}"


def _keys_beside(key: str, folders: Sequence[Path], arguments: Sequence[str]) -> list[str]:
    """Return the keys that stand where one was looked for: a choice's own, or the config's."""
    group, dot, _ = key.partition(".")
    if not dot:
        return [*group_names(folders), *(known.name for known in keys_in(main_file()))]
    chosen = {**default_choices(), **dict(line.split("=", 1) for line in arguments if "=" in line)}
    file = choices(folders, group).get(chosen.get(group, ""))
    return [f"{group}.{known.name}" for known in keys_of(file)] if file else []


def _no_such_choice(group: str, choice: str, known: Sequence[str]) -> str:
    close = near(choice, known)
    hint = f" (near it: {', '.join(close)})" if close else ""
    return f"there is no {group}={choice}{hint}: choose from {', '.join(known)}"
