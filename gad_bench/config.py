"""The typed configuration: its schema, its checks, and how components are built."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from gad_bench.base.command import one_line
from gad_bench.base.errors import UserError
from gad_bench.base.mistakes import explained, no_such_key
from gad_bench.base.process import (
    config_folder,
    default_cache_folder,
    gpus_a_job,
    processes,
)
from gad_bench.base.references import escaped
from gad_bench.base.remote import MARK
from gad_bench.base.stored_config import is_of

if TYPE_CHECKING:
    from gad_bench.data.catalog import Dataset

TARGET = "_target_"
TARGET_LINE = re.compile(r"^ *_target_: *(gad_bench\.[\w.]+)", re.MULTILINE)
LARGEST_SEED = 2**32  # of numpy's older generators
CONSTANTS = ("true", "false", "null", "nan", "inf")  # of Hydra's override grammar
_ACCEPTED: set[tuple[type, str]] = set()
"""Components and values whose types are right, so that a sweep checks each once."""


@dataclass(kw_only=True)
class Computation:
    """The values of the parts, by type, in which the published computation differs from ours.

    A part's YAML file refers to its own; the part's class says what each does. Groups of other
    packages may ignore them.
    """

    padding: str
    precision: str
    cutoff: float
    edge: str
    ddof: int
    gamma: str
    clip_limits: list[float]
    motion_blur: str
    average_precision: str
    sigma: str


@dataclass(kw_only=True)
class Config:
    """The top level of conf/config.yaml, by type. A group's own types are its class's fields."""

    category: str
    shots: int | None
    contamination: float
    largest_contamination: float | None
    seed: int
    batch_size: int
    device: str
    cache_dir: str
    cache_remote: str | None
    keep_images: bool
    cost: bool
    figures: bool
    resume: bool
    objective: str
    save: str | None
    computation: Computation
    backbone: Any
    input: Any
    blocks: Any
    dataset: Any
    fold: Any
    augmentation: Any
    normalisation: Any
    reduction: Any
    covariance: Any
    image_score: Any
    detector: Any
    combination: Any
    localisation: Any
    explanation: Any
    embedding: Any
    threshold: Any
    metrics: Any
    selection: Any
    runtime: Any
    extraction: Any
    maps: Any
    tracking: Any


def register() -> None:
    """Make the schema, the resolvers and the presets of launchers and sweepers known to Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    resolvers: dict[str, Callable[..., Any]] = {
        "default_cache_dir": lambda: str(default_cache_folder()),
        "processes": processes,
        "gpus_a_job": gpus_a_job,
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    _prefer_presets()


@contextlib.contextmanager
def no_resolvers() -> Iterator[None]:
    """Know no resolver for as long as what a file says is composed: nothing in it can call one."""
    known = BaseContainer._resolvers.copy()
    BaseContainer._resolvers.clear()
    try:
        yield
    finally:
        BaseContainer._resolvers.update(known)


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """Compose the config as the command line does, for tools beside a run.

    Raises:
        UserError: an override names nothing that there is.
    """
    register()
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        mistake = explained(error, overrides)
        raise UserError(one_line(mistake)) from error


def check(config: DictConfig) -> None:
    """Check the types of every component and the range of the run's own values.

    Raises:
        UserError: names the key, what it holds and what it may hold.
    """
    known = [field.name for field in dataclasses.fields(Config)]
    unknown = sorted(set(map(str, config)) - set(known))
    if unknown:
        raise UserError(no_such_key(unknown[0], known))
    for key, node in config.items():
        if isinstance(node, DictConfig) and TARGET in node:
            _check_component(str(key), node)
    _check_seeds(config)
    if config.batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {config.batch_size}")
    if config.shots is not None and config.shots < 1:
        raise UserError(f"shots must be at least 1, not {config.shots}")
    if not 0 <= config.contamination < 1:
        raise UserError(f"contamination must lie in [0, 1), not {config.contamination}")
    largest = config.largest_contamination
    if largest is not None and not config.contamination <= largest < 1:
        raise UserError(
            "largest_contamination must lie in [contamination, 1), "
            f"here [{config.contamination}, 1), not {largest}"
        )


def override(key: str, *texts: str) -> str:
    """Return the override that gives a key a text, whatever it holds; of several, a sweep's."""
    return f"{key}={','.join(map(_quoted, texts))}"


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


def build_dataset(config: DictConfig, category: str | None = None) -> Dataset:
    """Build the data set; where its root is a URL, its images are copied to this disk first.

    Args:
        config: of a run.
        category: the only one whose images are needed; None for all.

    Raises:
        UserError: as `build`; or the images cannot be copied.
    """
    node = config.dataset
    if has_remote_images(config):
        from gad_bench.data.remote_root import local_root

        root, known = node.root, list(map(str, node.get("categories") or ()))
        folder = local_root(root, category, known, Path(config.cache_dir).expanduser())
        node = OmegaConf.merge(node, {"root": escaped(str(folder))})
    dataset: Dataset = build(node)
    return dataset


def has_remote_images(config: DictConfig) -> bool:
    """Tell whether the data set's root is a URL."""
    return MARK in str(config.dataset.get("root"))


def require_known_classes(stored: Mapping[str, Any], place: str, trusted: Sequence[str]) -> None:
    """Refuse a stored config that names another class than conf/ does.

    Args:
        stored: plain values, as they were read.
        place: the file, for the error.
        trusted: modules and packages of the user's own, whose classes may be named.

    Raises:
        UserError: names the first such class and its key.
    """
    for key, value in leaves(stored):
        if key.rpartition(".")[2] != TARGET or value in _classes_of_conf():
            continue
        if not isinstance(value, str) or not is_of(value, trusted):
            raise UserError(
                f"{place}: {key} names {value}, which is no class of gad_bench's own configs: if "
                f"you trust it, say trust={str(value).partition('.')[0]}"
            )


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any YAML
    """Yield a nested config's leaves by dotted key; an empty mapping is a leaf."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node


@cache
def _classes_of_conf() -> frozenset[str]:
    files = config_folder().rglob("*.yaml")
    return frozenset(
        name for file in files for name in TARGET_LINE.findall(file.read_text(encoding="utf-8"))
    )


def _prefer_presets() -> None:
    """Let conf/hydra/ stand for the plugins' own configs of the same names.

    Hydra 1.3 would merge the two and warn that a later one will not (automatic schema matching).
    """
    Plugins.instance()  # finds the plugins, which register their configs
    registered = ConfigStore.instance().repo.get("hydra", {})
    for preset in (config_folder() / "hydra").glob("*/*.yaml"):
        registered.get(preset.parent.name, {}).pop(preset.name, None)


def _check_component(key: str, node: DictConfig) -> None:
    try:
        component = get_class(node[TARGET])
    except Exception as error:
        raise UserError(f"{key}.{TARGET}={node[TARGET]} names no class: {error}") from error
    if not dataclasses.is_dataclass(component):
        return
    values = {str(name): value for name, value in node.items() if name != TARGET}
    accepted = (component, str(values))
    if accepted in _ACCEPTED:
        return
    try:
        OmegaConf.merge(OmegaConf.structured(component), values)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        name = str(error.full_key or "")
        known = [field.name for field in dataclasses.fields(component)]
        if name.partition(".")[0] not in known:
            told = no_such_key(f"{key}.{name}", [f"{key}.{own}" for own in known])
            raise UserError(told) from error
        if "not a ListConfig" in reason:
            reason = f"a list is needed, as in {key}.{name}=[{values[name]}]"
        raise UserError(f"{key}.{name}: {reason}".replace(".:", ":")) from error
    _ACCEPTED.add(accepted)


def _check_seeds(config: DictConfig) -> None:
    groups = [str(key) for key, node in config.items() if isinstance(node, DictConfig)]
    for key in ("seed", *(f"{group}.seed" for group in groups)):
        seed = OmegaConf.select(config, key)
        if seed is not None and not 0 <= seed < LARGEST_SEED:
            raise UserError(f"{key} must lie in [0, 2**32), not {seed}")


def _quoted(text: str) -> str:
    """Quote what Hydra would read as a number, a constant, a reference or several words."""
    if re.fullmatch(r"[A-Za-z_][\w-]*", text, re.ASCII) and text.lower() not in CONSTANTS:
        return text
    return QuotedString(escaped(text), Quote.single).with_quotes()
