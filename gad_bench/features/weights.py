"""Weights: always one file, found, named by its digest, and read without running its code."""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gad_bench.base.errors import UserError
from gad_bench.base.files import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

HUB_FILE = "model.safetensors"
CONNECT_SECONDS = 10
NAMED_CODE = "GLOBAL"  # in what PyTorch says of a file that names a function or a class


def local_file(path: str) -> Path:
    """Return the checkpoint that the user named.

    Raises:
        UserError: there is no such file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"backbone.weights={path}: there is no such file")
    return file


def cached_hub_file(repository: str) -> Path | None:
    """Return the hub's weights where an earlier run downloaded them, else None."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, HUB_FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def download_hub_file(repository: str) -> Path:
    """Download the hub's weights.

    Raises:
        UserError: they are not to be had; says how to go on.
    """
    from urllib.request import Request, urlopen

    from huggingface_hub import hf_hub_download, hf_hub_url

    address = hf_hub_url(repository, HUB_FILE)
    try:
        # A look first: without a network the download itself goes on trying for half a minute.
        with urlopen(Request(address, method="HEAD"), timeout=CONNECT_SECONDS):
            return Path(hf_hub_download(repository, HUB_FILE))
    except OSError as error:
        raise UserError(
            f"the weights {repository} cannot be downloaded ({_first_line(error)}); fetch "
            f"{address} on another machine and give backbone.weights=PATH, or run on random "
            "weights with backbone.pretrained=false"
        ) from error


def digest(file: Path) -> str:
    """Return the sha256 of the file, in hexadecimal."""
    status = file.stat()
    return _digest(file, status.st_size, status.st_mtime_ns)


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors file or a PyTorch checkpoint.

    A training checkpoint's wrapping (`state_dict`, `model`, `module.`) is taken off.

    Raises:
        UserError: the file is damaged, holds something else, or would run code when read.
    """
    from timm.models import clean_state_dict

    content = _read(file)
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not _all_tensors(content):
        raise UserError(f"{file} holds no weights: expected a state dict of tensors")
    state: dict[str, Tensor] = clean_state_dict(content)
    return state


def _read(file: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch's reader raises whatever a damaged file leads it to
        if isinstance(error, pickle.UnpicklingError) and NAMED_CODE in str(error):
            raise UserError(
                f"{file} would run code when read, and is refused: give a plain state dict "
                "(torch.save(model.state_dict(), ...)) or a .safetensors file"
            ) from error
        says_why = isinstance(error, SafetensorError | RuntimeError | EOFError | OSError)
        reason = _first_line(error) if says_why else "it is no file of PyTorch's"
        raise UserError(f"{file} is no readable checkpoint: {reason}") from error


def _all_tensors(content: dict[Any, Any]) -> bool:
    from torch import Tensor

    return all(isinstance(key, str) and isinstance(content[key], Tensor) for key in content)


@lru_cache
def _digest(file: Path, size: int, modified: int) -> str:  # noqa: ARG001 - the cache's key
    return sha256_of(file)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
