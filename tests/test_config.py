from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import Computation, check, register

GROUPS = sorted(
    path.name
    for path in config_folder().iterdir()
    if path.is_dir() and path.name not in ("experiment", "hydra", "variant")
)
CHOICES = [
    f"{group}={path.relative_to(config_folder() / group).with_suffix('').as_posix()}"
    for group in GROUPS
    for path in sorted((config_folder() / group).rglob("*.yaml"))
    if not path.name.startswith("_")
]


NEEDED = {"backbone=timm": ["backbone.name=convnext_tiny.fb_in1k"]}


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", overrides=[*overrides])


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_passes_the_type_check(choice: str) -> None:
    check(composed(choice, *NEEDED.get(choice, [])))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_shows_every_key_of_its_class(choice: str) -> None:
    group = choice.partition("=")[0]
    node = composed(choice)[group]
    component = Computation if group == "computation" else get_class(node["_target_"])
    assert dataclasses.is_dataclass(component)
    assert {field.name for field in dataclasses.fields(component)} == set(node) - {"_target_"}


@pytest.mark.parametrize(
    "path", sorted(config_folder().rglob("*.yaml")), ids=lambda path: path.stem
)
def test_every_file_begins_with_a_line_on_what_it_is(path: Path) -> None:
    lines = (line for line in path.read_text().splitlines() if not line.startswith("# @"))
    assert next(lines).startswith("# ")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["fold.index=first"], "fold.index: Value 'first'"),
        (["batch_size=0"], "batch_size must be at least 1, not 0"),
        (["shots=0"], "shots must be at least 1, not 0"),
        (["contamination=1.0"], r"contamination must lie in \[0, 1\), not 1.0"),
        (
            ["contamination=0.2", "largest_contamination=0.1"],
            r"largest_contamination must lie in \[contamination, 1\), here \[0.2, 1\), not 0.1",
        ),
        (["+fold.indx=1"], "fold.*indx"),
        (["fold._target_=gad_bench.data.split.Nothing"], "names no class"),
        (["+batchsize=4"], "batchsize is no key of the config"),
        (["seed=-1"], r"seed must lie in \[0, 2\*\*32\), not -1"),
        (["fold.seed=4294967296"], r"fold.seed must lie in"),
        (["blocks.indices=6"], r"a list is needed, as in blocks.indices=\[6\]"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(composed(*overrides))


def test_a_component_of_the_users_own_needs_no_dataclass() -> None:
    config = composed()
    config.fold = OmegaConf.create({"_target_": "collections.Counter"})
    check(config)
