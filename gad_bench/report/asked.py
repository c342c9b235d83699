"""What a sweep asked for: every job of its product, by its overrides."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gad_bench.base.command import one_line
from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.base.references import has_reference, unescaped
from gad_bench.base.stored_config import read_stored
from gad_bench.config import no_resolvers, register
from gad_bench.report.frame import run_keys

log = logging.getLogger(__name__)

SWEEPERS = (
    "hydra_plugins.gad_bench_sweeper.ProductSweeper",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",  # of older sweeps
)
PLAIN = ("category", "fold.index")  # what changes no other key
UNTOLD = (UserError, HydraException, OmegaConfBaseException, KeyError, TypeError, AttributeError)
"""What a damaged or hostile file ends in: its sweep is told without the jobs that never started."""

Job = tuple[str, ...]


def asked_jobs(multirun: Path) -> list[Job]:
    """Return the overrides of each job that a sweep asked for.

    Other sweepers than Hydra's basic one choose their jobs as they go: these give an empty list.

    Args:
        multirun: the sweep's `multirun.yaml`.
    """
    try:
        hydra = read_stored(multirun)["hydra"]
        if hydra["sweeper"]["_target_"] not in SWEEPERS:
            return []
        params = (hydra["sweeper"].get("params") or {}).items()
        lines = [*(_line(key, value) for key, value in params), *hydra["overrides"]["task"]]
        parsed = _parse(lines, _loader(hydra))
    except UNTOLD as error:
        log.warning("%s: what the sweep asked for cannot be told: %s", multirun, one_line(error))
        return []
    return list(product(*{one.get_key_element(): _choices(one) for one in parsed}.values()))


def composed_keys(multirun: Path, jobs: Sequence[Job]) -> Iterator[dict[str, str]]:
    """Yield the keys of jobs that never started, as their config would have had them."""
    if not jobs:
        return
    register()
    search = _search_path(read_stored(multirun)["hydra"])

    @cache
    def compose_once(overrides: Job) -> dict[str, str]:
        with no_resolvers(), initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = compose("config", [*overrides, *search], return_hydra_config=True)
        choices = dict(config.hydra.runtime.choices)
        return run_keys(_without_hydra(config), choices)

    for job in jobs:
        parsed = _parse(job)
        plain = {
            one.key_or_group: unescaped(_text(one)) for one in parsed if one.key_or_group in PLAIN
        }
        rest = tuple(one.input_line for one in parsed if one.key_or_group not in PLAIN)
        try:
            keys = compose_once(rest) | plain
        except UNTOLD as error:
            log.warning("%s: job %s cannot be told: %s", multirun, " ".join(job), one_line(error))
            continue
        yield keys | {"fold": keys.get("fold.index", keys["fold"])}


def _line(key: str, value: object) -> str:
    """Return the override that an entry of `hydra.sweeper.params` stands for."""
    text = str(value)
    if has_reference(text):
        raise UserError(f"{key} refers to {text}, which is not followed in a file")
    return f"{key}={unescaped(text)}"


def _without_hydra(config: DictConfig) -> dict[str, Any]:
    """Return a config as Hydra writes it to a run's folder, its references unresolved."""
    nested = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=False))
    return {key: value for key, value in nested.items() if key != "hydra"}


def _parse(lines: Sequence[str], loader: ConfigLoaderImpl | None = None) -> list[Override]:
    return OverridesParser.create(loader).parse_overrides(list(lines))


def _loader(hydra: Mapping[str, Any]) -> ConfigLoaderImpl:
    """Return what finds the choices that a glob means, in our folder and the user's own."""
    search_path = create_config_search_path(str(config_folder()))
    for folder in _own_folders(hydra):
        search_path.append("command-line", folder)
    return ConfigLoaderImpl(search_path)


def _choices(override: Override) -> list[str]:
    """Return the override of each choice, as Hydra's basic sweeper writes it."""
    key = override.get_key_element()
    if override.is_sweep_override():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [f"{key}={override.get_value_element_as_str()}"]


def _text(override: Override) -> str:
    value = override.value()
    return value.text if isinstance(value, QuotedString) else str(value)


def _search_path(hydra: Mapping[str, Any]) -> list[str]:
    """Return the override that adds the user's own --config-dir."""
    own = _own_folders(hydra)
    return [f"hydra.searchpath=[{','.join(own)}]"] if own else []


def _own_folders(hydra: Mapping[str, Any]) -> list[str]:
    sources = hydra["runtime"]["config_sources"]
    return [f"file://{one['path']}" for one in sources if one["provider"] == "command-line"]
