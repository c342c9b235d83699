"""Configs of a sweep's jobs, each composed once, and those of the same choices from one."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

Overrides = tuple[str, ...]
ABSENT = object()


class ComposingOnce:
    """A config loader that does not compose what it has composed before.

    Hydra's sweeper composes all jobs before the first starts, so that what cannot be composed is
    told then, and its launcher composes each again. Here the launcher gets what the sweeper had,
    and jobs that differ in plain values alone, as category=, get them written into one config of
    their choices. Configs are kept packed, in some 10 kB each: a sweep may have thousands. In
    another process, where a launcher may send it, nothing is kept and each is composed there.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader
        self.kept: dict[Overrides, bytes] = {}
        self.of_choices: dict[Overrides, bytes] = {}

    def __reduce__(self) -> tuple[type[ComposingOnce], tuple[ConfigLoader]]:
        return ComposingOnce, (self.loader,)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a config loader has
        return getattr(self.loader, name)

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Return a job's config.

        Args:
            master_config: the sweep's own.
            sweep_overrides: the job's.

        Raises:
            ConfigCompositionException: it cannot be composed.
        """
        packed = self.kept.pop(tuple(sweep_overrides), None)
        if packed is not None:
            return _unpacked(packed)
        try:
            config = self._from_choices(master_config, sweep_overrides)
        except Exception:  # told by Hydra, in its own words
            config = self.loader.load_sweep_config(master_config, sweep_overrides)
        self.kept[tuple(sweep_overrides)] = _packed(config)
        return config

    def _from_choices(self, master: DictConfig, lines: Sequence[str]) -> DictConfig:
        """Write a job's plain values into the config of its choices, as Hydra does after all."""
        overrides = OverridesParser.create().parse_overrides([*lines])
        values = [own for own in overrides if _gives_value(own, master)]
        choices = [line for line, own in zip(lines, overrides, strict=True) if own not in values]
        if tuple(choices) not in self.of_choices:
            config = self.loader.load_sweep_config(master, choices)
            self.of_choices[tuple(choices)] = _packed(config)
        config = _unpacked(self.of_choices[tuple(choices)])
        for own in values:
            OmegaConf.update(config, own.key_or_group, own.value(), merge=True)
        of_task = [own for own in overrides if not own.is_hydra_override()]
        config.hydra.overrides.task = [own.input_line for own in of_task]
        named = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(
            of_task,
            kv_sep=named.kv_sep,
            item_sep=named.item_sep,
            exclude_keys=named.exclude_keys,
        )
        OmegaConf.copy_cache(from_config=master, to_config=config)
        return config


def _gives_value(own: Override, master: DictConfig) -> bool:
    """Tell whether an override is of a plain value that the config has, and no group's choice."""
    changes_keys = own.is_add() or own.is_force_add() or own.is_delete()
    if changes_keys or own.is_hydra_override() or own.package:
        return False
    if own.key_or_group in master.hydra.runtime.choices:
        return False
    held = OmegaConf.select(master, own.key_or_group, default=ABSENT)
    return held is not ABSENT and not isinstance(held, DictConfig)


def _packed(config: DictConfig) -> bytes:
    return zlib.compress(pickle.dumps(config), 1)


def _unpacked(packed: bytes) -> DictConfig:
    config: DictConfig = pickle.loads(zlib.decompress(packed))
    return config
