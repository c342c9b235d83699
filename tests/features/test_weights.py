from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gad_bench.base.errors import UserError
from gad_bench.features import weights

STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2)}


def assert_same(state: dict[str, torch.Tensor]) -> None:
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE},
        {"state_dict": {f"module.{key}": value for key, value in STATE.items()}},
    ],
    ids=["plain", "state_dict", "model", "data-parallel"],
)
def test_a_checkpoint_is_unwrapped(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    assert_same(weights.read_checkpoint(tmp_path / "weights.pth"))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "weights.safetensors")
    assert_same(weights.read_checkpoint(tmp_path / "weights.safetensors"))


class _Trap:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(
    form: str, tmp_path: Path
) -> None:
    file, victim = tmp_path / "weights.pth", tmp_path / "touched"
    if form == "torch":
        torch.save({**STATE, "trap": _Trap(victim)}, file)
    else:
        file.write_bytes(pickle.dumps(_Trap(victim), protocol=2))
    with pytest.raises(UserError, match="would run code when read"):
        weights.read_checkpoint(file)
    assert not victim.exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_truncated_file_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    save_file(STATE, file) if file.suffix == ".safetensors" else torch.save(STATE, file)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match=f"{name} is no readable checkpoint"):
        weights.read_checkpoint(file)


@pytest.mark.parametrize("seed", range(100))
def test_any_other_file_ends_in_one_line(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    file = tmp_path / chance.choice(["weights.pth", "weights.pt", "weights.safetensors"])
    save_file(STATE, file) if file.suffix == ".safetensors" else torch.save(STATE, file)
    whole = file.read_bytes()
    changed = bytearray(whole)
    for _ in range(4):
        changed[chance.randrange(len(whole))] = chance.randrange(256)
    words = "".join(chance.choice("abc(}]{.[\n 0123é") for _ in range(chance.randrange(300)))
    noise, cut = chance.randbytes(chance.randrange(300)), whole[: chance.randrange(len(whole))]
    file.write_bytes(
        chance.choice([words.encode(), noise, cut, bytes(changed), b"\x80\x02" + noise])
    )
    try:
        weights.read_checkpoint(file)
    except UserError as refusal:
        told = str(refusal)
        assert file.name in told and "\n" not in told  # noqa: PT018


def test_text_is_not_said_to_run_code(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_text("these are no weights\n")
    with pytest.raises(
        UserError, match=r"weights\.pth is no readable checkpoint: it is no file of"
    ):
        weights.read_checkpoint(tmp_path / "weights.pth")


@pytest.mark.parametrize("content", [{1: torch.ones(2)}, {}, [1, 2], {"epoch": 3}, torch.ones(2)])
def test_a_file_without_weights_is_named(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth holds no weights"):
        weights.read_checkpoint(tmp_path / "weights.pth")


def test_the_digest_is_the_files_sha256_and_follows_its_content(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    for content in (b"one", b"three"):
        file.write_bytes(content)
        assert weights.digest(file) == hashlib.sha256(content).hexdigest()


def test_a_missing_local_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"backbone\.weights=.*none\.pth: there is no such file"):
        weights.local_file(str(tmp_path / "none.pth"))


@pytest.fixture
def hub(tmp_path: Path) -> Callable[[str], str]:
    """Ask for a file in a process with its own empty hub cache, and a hub that never answers."""
    environment = {"HF_HUB_CACHE": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}

    def ask(function: str) -> str:
        code = (
            "from gad_bench.features import weights\n"
            f"try: print(weights.{function}('timm/toy'))\n"
            "except ValueError as error: print(error)\n"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, check=True, timeout=20
        )
        return done.stdout.decode().strip()

    return ask


def test_the_hubs_weights_come_from_its_local_cache_without_a_network(
    hub: Callable[[str], str], tmp_path: Path
) -> None:
    assert hub("cached_hub_file") == "None"
    folder = tmp_path / "models--timm--toy"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc" / weights.HUB_FILE).write_bytes(b"x")
    assert hub("cached_hub_file").endswith(f"abc/{weights.HUB_FILE}")


def test_weights_that_cannot_be_downloaded_say_promptly_how_to_go_on(
    hub: Callable[[str], str],
) -> None:
    message = hub("download_hub_file")
    assert message.startswith("the weights timm/toy cannot be downloaded")
    assert "timm/toy/resolve/main/model.safetensors" in message
    assert "backbone.weights=PATH" in message
    assert "backbone.pretrained=false" in message
