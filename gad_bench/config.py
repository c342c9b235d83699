"""The typed configuration: its schema, its checks, and how components are built."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gad_bench.errors import UserError

TARGET = "_target_"


@dataclass(kw_only=True)
class Config:
    """The top level of conf/config.yaml, by type. A group's own types are its class's fields."""

    category: str
    contamination: float
    seed: int
    batch_size: int
    device: str
    cache_dir: str
    figures: bool
    backbone: Any
    blocks: Any
    dataset: Any
    fold: Any
    augmentation: Any
    normalisation: Any
    reduction: Any
    covariance: Any
    detector: Any
    combination: Any
    localisation: Any
    explanation: Any
    runtime: Any
    tracking: Any


def register() -> None:
    """Make the schema and the resolvers known to Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("default_cache_dir", _default_cache_dir, replace=True)


def check(config: DictConfig) -> None:
    """Check the types of every component and the range of the run's own values.

    Raises:
        UserError: names the key, what it holds and what it may hold.
    """
    for key, node in config.items():
        if isinstance(node, DictConfig) and TARGET in node:
            _check_component(str(key), node)
    if config.batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {config.batch_size}")
    if not 0 <= config.contamination < 1:
        raise UserError(f"contamination must lie in [0, 1), not {config.contamination}")


def build(node: DictConfig) -> Any:  # noqa: ANN401 - whatever class the YAML file names
    """Build the object that a group's `_target_` names.

    Raises:
        UserError: when the object refuses its values.
    """
    try:
        return instantiate(node, _convert_="object")
    except Exception as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def _check_component(key: str, node: DictConfig) -> None:
    try:
        component = get_class(node[TARGET])
    except Exception as error:
        raise UserError(f"{key}.{TARGET}={node[TARGET]} names no class: {error}") from error
    if not dataclasses.is_dataclass(component):
        return
    values = {str(name): value for name, value in node.items() if name != TARGET}
    try:
        OmegaConf.merge(OmegaConf.structured(component), values)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{key}.{error.full_key or ''}: {reason}".replace(".:", ":")) from error


def _default_cache_dir() -> str:
    from platformdirs import user_cache_dir

    return user_cache_dir("gad_bench")
