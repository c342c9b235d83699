"""gad_bench's sweeper, where Hydra looks for plugins; what it does is told in gad_bench.launch."""

from __future__ import annotations

from typing import cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from gad_bench.launch.composing import ComposingOnce


class ProductSweeper(BasicSweeper):
    """Hydra's basic sweeper, whose check of all jobs before the first composes them for good."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Let sweeper and launcher share what is composed."""
        loader = cast("ConfigLoader", ComposingOnce(hydra_context.config_loader))
        context = HydraContext(config_loader=loader, callbacks=hydra_context.callbacks)
        super().setup(hydra_context=context, task_function=task_function, config=config)
