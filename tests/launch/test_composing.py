"""A job's config is composed once, and is the same when it runs."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
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


JOBS = [
    ["covariance=oas", "category=bottle", "seed=1"],
    ["covariance=oas", "category=cable", "seed=2"],
    ["seed=3", "covariance=identity", "blocks.indices=[1,2]"],
    ["fold=kfold", "fold.index=2", "shots=4"],
    ["detector=patchcore", "detector.share=0.5"],
    ["+covariance.extra=1", "~resume", "++seed=7"],
    ["category='a=b, ${seed}'", "contamination=0.1"],
    ["experiment=demo", "batch_size=4"],
]


def test_a_config_that_is_made_of_another_is_what_hydra_composes() -> None:
    configuration.register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        own = GlobalHydra.instance().config_loader()
        master = own.load_configuration("config", ["tracking=none"], RunMode.MULTIRUN)
        loader = ComposingOnce(own)
        for overrides in JOBS:
            expected = own.load_sweep_config(master, overrides)
            found = loader.load_sweep_config(master, overrides)
            assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
            assert found.hydra.job.override_dirname == expected.hydra.job.override_dirname
            assert OmegaConf.is_struct(found)


def test_jobs_of_the_same_choices_are_composed_once() -> None:
    configuration.register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        own = GlobalHydra.instance().config_loader()
        master = own.load_configuration("config", [], RunMode.MULTIRUN)
        counting: Any = CountingLoader()
        loader = ComposingOnce(counting)
        for seed in range(5):
            loader.load_sweep_config(master, ["covariance=oas", f"seed={seed}"])
    assert counting.composed == 1


def test_what_cannot_be_composed_is_told_by_hydra() -> None:
    configuration.register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        own = GlobalHydra.instance().config_loader()
        master = own.load_configuration("config", [], RunMode.MULTIRUN)
        loader = ComposingOnce(own)
        for overrides in (["seed=none"], ["batch_size=[1]"], ["sed=1"], ["covariance=none_such"]):
            with pytest.raises(HydraException) as expected:
                own.load_sweep_config(master, overrides)
            with pytest.raises(HydraException) as found:
                loader.load_sweep_config(master, overrides)
            assert str(found.value) == str(expected.value)
