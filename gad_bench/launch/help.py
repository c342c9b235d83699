"""The text of `python -m gad_bench --help`: every choice with the first comment of its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gad_bench.base.choices import (
    Key,
    choices,
    config_folders,
    default_choices,
    first_comment,
    group_names,
    is_global,
    keys_in,
    keys_of,
    main_file,
    near,
)
from gad_bench.base.errors import UserError

USAGE = """\
gad_bench: benchmark image anomaly detection with Gaussians on pretrained deep features

  python -m gad_bench experiment=demo                            generated images, no download
  python -m gad_bench backbone=efficientnet-b4 category=bottle   one run
  python -m gad_bench -m fold.index=0,1,2,3,4 covariance=ledoit_wolf,diagonal   a sweep
  python -m gad_bench -m hydra/launcher=joblib ...               a sweep in several processes
  python -m gad_bench --cfg job [GROUP=CHOICE ...]               show the config and do nothing
  python -m gad_bench --help GROUP=CHOICE                        a choice's own keys
  python -m gad_bench --config-dir DIR ...                       add a folder of your own choices
  python -m gad_bench --version                                  which gad_bench this is
  python -m gad_bench.predict --help                             score images with a saved detector
  python -m gad_bench.evaluate --help                            measure it on other images
  python -m gad_bench.export --help                              make it an ONNX or OpenVINO graph
  python -m gad_bench.cache --help                               list, verify, prune stored features
"""

WIDTH = 29  # of a column of keys


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Tell whether the command line asks for help alone."""
    return "--help" in arguments or "-h" in arguments


def help_text(arguments: Sequence[str]) -> str:
    """Return the help on the groups and choices named, or on everything.

    The choices of the user's own --config-dir are among ours.

    Raises:
        UserError: there is no group or choice of a name.
    """
    folders = config_folders(arguments)
    groups = group_names(folders)
    named = [name.partition("=") for name in arguments if name.partition("=")[0] in groups]
    if not named:
        return "\n".join(_everything(folders, groups))
    lines = []
    for group, _, choice in named:
        known = choices(folders, group)
        lines += _choice(group, choice, known) if choice else _group(group, known)
    return "\n".join(lines)


def _everything(folders: Sequence[Path], groups: Sequence[str]) -> list[str]:
    values = [key for key in keys_in(main_file()) if "." not in key.name]
    lines = [USAGE, "Values (KEY=VALUE)", *_keys(values, "")]
    lines += [
        "",
        "Choices (GROUP=CHOICE; * is the default; GROUP.KEY=VALUE sets a choice's own key)",
    ]
    for group in groups:
        lines += _group(group, choices(folders, group))
    return lines


def _group(group: str, known: Mapping[str, Path]) -> list[str]:
    default = default_choices().get(group)
    return [
        group,
        *(
            f"  {'*' if name == default else ' '} {name:<22} {first_comment(path)}"
            for name, path in known.items()
        ),
    ]


def _choice(group: str, choice: str, known: Mapping[str, Path]) -> list[str]:
    if choice not in known:
        close = ", ".join(near(choice, list(known)) or known)
        raise UserError(f"there is no {group}={choice}: choose from {close}")
    path = known[choice]
    title = f"{group}={choice}: {first_comment(path)}"
    if is_global(path):
        lines = path.read_text(encoding="utf-8").splitlines()
        return [title, *(f"  {line}" for line in lines if not line.startswith("#"))]
    return [title, *_keys(keys_of(path), f"{group}.")]


def _keys(keys: Iterable[Key], prefix: str) -> list[str]:
    shown = [(f"{prefix}{key.name}={_value(key.value)}", key.comment) for key in keys]
    return [f"  {name:<{WIDTH}}  {comment}".rstrip() for name, comment in shown]


def _value(value: str) -> str:
    """Return a default as it may be typed; what is derived from elsewhere is not."""
    return "" if "$" in value else value
