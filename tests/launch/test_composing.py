"""A job's config is composed once, and is the same when it runs."""

from __future__ import annotations

import pickle
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gad_bench import config as configuration
from gad_bench.base.process import config_folder
from gad_bench.launch.composing import ComposingOnce


class CountingLoader:
    """Counts what Hydra's own composes."""

    def __init__(self) -> None:
        self.composed = 0

    def load_sweep_config(self, master: DictConfig, overrides: list[str]) -> DictConfig:
        self.composed += 1
        return GlobalHydra.instance().config_loader().load_sweep_config(master, overrides)


def test_a_jobs_config_is_composed_once_and_is_the_same_when_it_runs() -> None:
    configuration.register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        own = GlobalHydra.instance().config_loader()
        master = own.load_configuration("config", ["experiment=demo"], RunMode.MULTIRUN)
        counting: Any = CountingLoader()
        loader = ComposingOnce(counting)
        overrides = ["experiment=demo", "covariance=oas"]
        checked = loader.load_sweep_config(master, overrides)
        elsewhere = pickle.loads(pickle.dumps(loader))
        run = loader.load_sweep_config(master, overrides)
        sent = elsewhere.load_sweep_config(master, overrides)
    assert counting.composed == 1
    assert OmegaConf.to_yaml(run) == OmegaConf.to_yaml(checked) == OmegaConf.to_yaml(sent)
    assert OmegaConf.is_struct(run) == OmegaConf.is_struct(checked)
