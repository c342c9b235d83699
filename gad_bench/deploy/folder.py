"""The folder of a saved detector: JSON, arrays and checksums, written whole or not at all.

detector.json          what it is and how it scores; arrays by name
arrays.safetensors     the arrays
config.yaml            the config of the run that fitted it
SHA256SUMS             of those three, as `sha256sum -c` reads them
weights.*              optional: the backbone's weights, in place of those it refers to
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gad_bench.errors import UserError
from gad_bench.files import sha256_of, whole_folder

FACTS, ARRAYS, CONFIG, SUMS = "detector.json", "arrays.safetensors", "config.yaml", "SHA256SUMS"
FORMAT = 1


def require_new(folder: Path) -> None:
    """Refuse a folder that there is already, before anything is computed.

    Raises:
        UserError: there is something at the path.
    """
    if folder.exists():
        raise UserError(f"save={folder} exists already: name a new folder, or remove that one")


def write_folder(
    folder: Path, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], config: str
) -> None:
    """Write a detector's folder.

    Args:
        folder: a new one.
        facts: JSON values.
        arrays: by name.
        config: YAML.

    Raises:
        UserError: there is something at the path.
        OSError: it cannot be written.
    """
    from safetensors.numpy import save_file

    require_new(folder)
    with whole_folder(folder) as temporary:
        text = json.dumps({"format": FORMAT, **facts}, indent=1, allow_nan=False)
        (temporary / FACTS).write_text(text + "\n", encoding="utf-8")
        (temporary / CONFIG).write_text(config, encoding="utf-8")
        save_file(dict(arrays), temporary / ARRAYS)
        names = (FACTS, ARRAYS, CONFIG)
        sums = [f"{sha256_of(temporary / name)}  {name}\n" for name in names]
        (temporary / SUMS).write_text("".join(sums), encoding="utf-8")


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a detector's facts and arrays.

    Raises:
        UserError: it is none, of a later format, or damaged.
    """
    from safetensors.numpy import load_file

    if not (folder / FACTS).is_file():
        raise UserError(f"{folder} holds no detector (no {FACTS}): write one with save=FOLDER")
    _check_sums(folder)
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if facts.pop("format") != FORMAT:
        raise UserError(f"{folder} was written by another version of gad_bench: update it")
    return facts, load_file(folder / ARRAYS)


def weights_beside(folder: Path) -> Path | None:
    """Return the weights that lie in a detector's folder, if there are any."""
    return next(iter(sorted(folder.glob("weights.*"))), None)


def _check_sums(folder: Path) -> None:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
        damaged = [name for name in (FACTS, ARRAYS) if sums.get(name) != sha256_of(folder / name)]
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is damaged ({error}): copy it again") from error
    if damaged:
        raise UserError(f"{folder / damaged[0]} is damaged, its checksum differs: copy it again")
