"""What may be chosen, read from the YAML files' text: the help must not wait for Hydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gad_bench.base.process import config_folder

DEFAULT = re.compile(r"^  - (?:override /)?(\w+): ([\w.-]+)", re.MULTILINE)
BASES = re.compile(r"^defaults:\s*(?:\[(.*)\]|\n((?:  - .*\n)+))", re.MULTILINE)
KEY = re.compile(r"^( *)(\w+): *(.*?)(?: +# (.*))?$")
OPTIONS = ("--config-dir", "-cd")
GLOBAL = re.compile(r"^# *@package +_global_", re.MULTILINE)


class Key(NamedTuple):
    """A key of a YAML file: its dotted name, its default and what its comment says."""

    name: str
    value: str
    comment: str


def config_folders(arguments: Sequence[str]) -> list[Path]:
    """Return the folders of choices: ours, and the user's own that a command line names."""
    named = [
        following if option in OPTIONS else option.partition("=")[2]
        for option, following in zip(arguments, [*arguments, ""][1:], strict=True)
        if option in OPTIONS or option.startswith("--config-dir=")
    ]
    return [config_folder(), *(folder for folder in map(Path, named) if folder.is_dir())]


def main_file() -> str:
    """Return the text of the config's own file."""
    return (config_folder() / "config.yaml").read_text(encoding="utf-8")


def default_choices() -> dict[str, str]:
    """Return the default choice of each group."""
    return dict(DEFAULT.findall(main_file()))


def group_names(folders: Sequence[Path]) -> list[str]:
    """Return the groups that have choices, Hydra's own by their full name."""
    found = {
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in [*folder.iterdir(), *(folder / "hydra").glob("*")]
        if path.is_dir() and path.name != "hydra"
    }
    return sorted(group for group in found if choices(folders, group))


def choices(folders: Sequence[Path], group: str) -> dict[str, Path]:
    """Return the files of a group's choices by their names."""
    return {
        path.relative_to(folder / group).with_suffix("").as_posix(): path
        for folder in folders
        for path in sorted((folder / group).rglob("*.yaml"))
        if not path.name.startswith("_") and path.is_file()
    }


def first_comment(path: Path) -> str:
    """Return what a file says of itself, after Hydra's own `# @package` line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line[1:].strip() for line in lines if re.match(r"#(?! ?@)", line)), "")


def is_global(path: Path) -> bool:
    """Tell whether a choice sets keys of the whole config, as an experiment does."""
    return bool(GLOBAL.search(path.read_text(encoding="utf-8")))


def keys_of(path: Path) -> list[Key]:
    """Return the keys of a choice, those of the files that it builds on among them."""
    text = path.read_text(encoding="utf-8")
    found: dict[str, Key] = {}
    for base in _bases(text):
        file = path.with_name(f"{base}.yaml")
        if file.is_file():
            found |= {key.name: key for key in keys_of(file)}
    for key in keys_in(text):
        comment = key.comment or (found[key.name].comment if key.name in found else "")
        found[key.name] = key._replace(comment=comment)
    return list(found.values())


def keys_in(text: str) -> Iterator[Key]:
    """Yield the keys that a YAML file has values for, but for those of Hydra's machinery."""
    above: list[tuple[int, str]] = []
    lines = [match.groups(default="") for match in map(KEY.match, text.splitlines()) if match]
    for (indent, name, value, comment), following in zip(lines, [*lines[1:], None], strict=True):
        depth = len(indent)
        above = [*(parent for parent in above if parent[0] < depth), (depth, name)]
        is_parent = not value and following is not None and len(following[0]) > depth
        dotted = ".".join(parent for _, parent in above)
        if not is_parent and above[0][1] not in ("_target_", "defaults", "hydra"):
            yield Key(dotted, value, comment)


def near(name: str, known: Sequence[str]) -> list[str]:
    """Return the few names that one may have been meant to be, the nearest first."""
    from difflib import get_close_matches

    return get_close_matches(name, known, n=3, cutoff=0.6)


def _bases(text: str) -> list[str]:
    found = BASES.search(text)
    if not found:
        return []
    listed = found[1].split(",") if found[1] else re.findall(r"- (\S+)", found[2] or "")
    return [name.strip() for name in listed if name.strip().startswith("_") and "self" not in name]
