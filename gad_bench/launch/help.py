"""The text of `python -m gad_bench --help`: every choice with the first comment of its file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gad_bench.base.process import config_folder

USAGE = """\
gad_bench: benchmark image anomaly detection with Gaussians on pretrained deep features

  python -m gad_bench experiment=demo                            generated images, no download
  python -m gad_bench backbone=efficientnet-b4 category=bottle   one run
  python -m gad_bench -m fold.index=0,1,2,3,4 covariance=ledoit_wolf,diagonal   a sweep
  python -m gad_bench -m hydra/launcher=joblib ...               a sweep in several processes
  python -m gad_bench --cfg job [GROUP=CHOICE ...]               show the config and do nothing
  python -m gad_bench --config-dir DIR ...                       add a folder of your own choices
  python -m gad_bench.predict --help                             score images with a saved detector
  python -m gad_bench.evaluate --help                            measure it on other images
  python -m gad_bench.export --help                              make it an ONNX or OpenVINO graph
  python -m gad_bench.cache --help                               list, verify, prune stored features
"""

DEFAULT = re.compile(r"^  - (?:override /)?(\w+): ([\w.-]+)", re.MULTILINE)
VALUE = re.compile(r"^(\w+): *(.*?) +# (.*)$", re.MULTILINE)


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Tell whether the command line asks for help alone."""
    return "--help" in arguments or "-h" in arguments


def help_text(arguments: Sequence[str]) -> str:
    """Return the help, with the choices of the user's own --config-dir among ours."""
    folders = [config_folder(), *_own_folders(arguments)]
    main = (config_folder() / "config.yaml").read_text(encoding="utf-8")
    defaults = dict(DEFAULT.findall(main))
    lines = [USAGE, "Values (KEY=VALUE)"]
    lines += [f"  {f'{key}={value}':<24} {comment}" for key, value, comment in _values(main)]
    lines += [
        "",
        "Choices (GROUP=CHOICE; * is the default; GROUP.KEY=VALUE sets a choice's own key)",
    ]
    for group in sorted({group for folder in folders for group in _groups(folder)}):
        choices = _choices(folders, group)
        if choices:
            lines += [group, *_describe(choices, defaults.get(group))]
    return "\n".join(lines)


def _values(main: str) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = VALUE.findall(main)
    return [(key, "" if "$" in value else value, comment) for key, value, comment in found]


def _groups(folder: Path) -> list[str]:
    """Return the groups of a folder's choices, Hydra's own by their full name."""
    own = [f"hydra/{path.name}" for path in (folder / "hydra").glob("*")]
    return [path.name for path in folder.iterdir() if path.name != "hydra"] + own


def _choices(folders: Sequence[Path], group: str) -> dict[str, Path]:
    return {
        path.relative_to(folder / group).with_suffix("").as_posix(): path
        for folder in folders
        for path in sorted((folder / group).rglob("*.yaml"))
        if not path.name.startswith("_")
    }


def _describe(choices: dict[str, Path], default: str | None) -> list[str]:
    return [
        f"  {'*' if name == default else ' '} {name:<22} {_first_comment(path)}"
        for name, path in choices.items()
    ]


def _first_comment(path: Path) -> str:
    """Return what a file says of itself, after Hydra's own `# @package` line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line[1:].strip() for line in lines if re.match(r"#(?! ?@)", line)), "")


def _own_folders(arguments: Sequence[str]) -> list[Path]:
    named = [
        following if option in ("--config-dir", "-cd") else option.partition("=")[2]
        for option, following in zip(arguments, [*arguments, ""][1:], strict=True)
        if option in ("--config-dir", "-cd") or option.startswith("--config-dir=")
    ]
    return [folder for folder in map(Path, named) if folder.is_dir()]
