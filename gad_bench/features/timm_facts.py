"""What timm knows of a model, remembered: to import timm and ask takes seconds."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gad_bench.base.errors import UserError
from gad_bench.base.files import json_digest, write_text
from gad_bench.base.process import cache_folder

FOLDER = "timm-v1"
CLOSE_NAMES = 5
KEPT = ("input_size", "mean", "std", "fixed_input_size", "classifier")

log = logging.getLogger(__name__)


@cache
def pretrained_values(name: str) -> dict[str, Any]:
    """Return what a model's weights expect: input size, mean, std, and its classifier's layers.

    Raises:
        UserError: timm does not know the model, or nothing of its input.
    """
    values: dict[str, Any] = _remembered("values", name, _ask_for_values)
    return values


@cache
def intermediate_count(name: str) -> int:
    """Return the number of intermediate features that a model offers.

    Raises:
        UserError: timm does not know the model, or it offers none.
    """
    return int(_remembered("intermediates", name, _ask_for_intermediates))


@cache
def patch_size(name: str) -> int | None:
    """Return the side of a transformer's patches in pixels; None for a network without any.

    Raises:
        UserError: timm does not know the model.
    """
    side: int | None = _remembered("patch", name, _ask_for_patch)["side"]
    return side


def side_of_patches(network: Any) -> int | None:  # noqa: ANN401 - a module, imported by who has one
    """Return the side of a network's patches in pixels; None for one without any."""
    sides = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    return int(sides[0]) if isinstance(sides, tuple | list) else sides


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        UserError: names those near it.
    """
    import timm

    architecture, _, tag = name.partition(".")
    if tag:
        check_tag(name)
    elif not timm.is_model(architecture):
        from difflib import get_close_matches

        close = get_close_matches(architecture, timm.list_models(), CLOSE_NAMES, cutoff=0.5)
        hint = f"; near it: {', '.join(close)}" if close else ""
        raise UserError(f"backbone.name={name}: timm has no model {architecture}{hint}")


def check_tag(name: str) -> None:
    """Refuse a name that names no weights of timm's.

    Raises:
        UserError: names those that there are.
    """
    import timm

    architecture = name.partition(".")[0]
    check_name(architecture)
    tags = timm.list_pretrained(f"{architecture}.*")
    if name not in tags:
        choice = f"choose one of {', '.join(tags)}" if tags else "timm has none: give a file"
        raise UserError(f"backbone.name={name} must name its weights: {choice}")


def _remembered(kind: str, name: str, ask: Callable[[str], Any]) -> Any:  # noqa: ANN401 - JSON
    """Return what timm answers, by way of a file per question and version of timm."""
    question = [kind, name, version("timm")]
    file = cache_folder() / FOLDER / f"{json_digest(question)}.json"
    known = _read(file, question)
    if known is None:
        log.info("timm is asked about %s, once: it takes some seconds to import", name)
        known = ask(name)
        content = {"question": question, "answer": known, "sha256": json_digest(known)}
        with contextlib.suppress(OSError):  # a cache that is read-only
            write_text(file, json.dumps(content))
    return known


def _read(file: Path, question: list[str]) -> Any:  # noqa: ANN401
    """Return the answer that a file holds; None where there is none, or it is damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        known = content["answer"]
        is_whole = content["question"] == question and content["sha256"] == json_digest(known)
        return known if is_whole else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _ask_for_values(name: str) -> dict[str, Any]:
    import timm

    check_name(name)
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise UserError(
            f"timm knows no preprocessing for {name}: give backbone.input_size, mean and std"
        )
    values: dict[str, Any] = json.loads(json.dumps({key: getattr(config, key) for key in KEPT}))
    return values


def _ask_for_patch(name: str) -> dict[str, int | None]:
    return {"side": side_of_patches(_bare_network(name))}


def _bare_network(name: str) -> Any:  # noqa: ANN401 - a module, which costs a second to import
    """Return a network without values."""
    import timm
    import torch

    check_name(name)
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False)


def _ask_for_intermediates(name: str) -> int:
    network = _bare_network(name)
    if not hasattr(network, "forward_intermediates"):
        raise UserError(f"timm's {name} offers no intermediate features: name backbone.taps")
    stages: Any = network.feature_info
    return len(stages)
