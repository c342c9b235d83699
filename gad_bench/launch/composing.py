"""Configs of a sweep's jobs, each composed once."""

from __future__ import annotations

import pickle
import zlib
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

Overrides = tuple[str, ...]


class ComposingOnce:
    """A config loader that gives a job's config a second time without composing it again.

    Hydra's sweeper composes all jobs before the first starts, so that what cannot be composed is
    told then, and its launcher composes each again. Here the launcher gets what the sweeper had.
    In between a config is kept packed, in some 10 kB: a sweep may have thousands. In another
    process, where a launcher may send it, nothing is kept and each is composed there.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader
        self.kept: dict[Overrides, bytes] = {}

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
            config: DictConfig = pickle.loads(zlib.decompress(packed))
            return config
        config = self.loader.load_sweep_config(master_config, sweep_overrides)
        self.kept[tuple(sweep_overrides)] = zlib.compress(pickle.dumps(config), 1)
        return config
