"""The experiments: what each sweeps, and each carried out on a tiny demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from gad_bench.base.process import config_folder
from gad_bench.config import register
from gad_bench.launch.sweep import list_choices
from gad_bench.report.__main__ import main as report

TINY = (
    *("dataset=demo", "dataset.train=20", "dataset.test_good=6", "dataset.test_defective=2"),
    *("backbone=filterbank", "backbone.input_size=64", "backbone.octaves=3"),
    *("figures=false", "tracking=none"),
)
ALL_FOLDS = {"_target_": "gad_bench.data.split.CrossValidation", "n_splits": 5, "seed": 0}
ALL_IMAGES = {"_target_": "gad_bench.data.split.Full", "calibration_folds": 0, "seed": 0}
B = [f"efficientnet-b{number}" for number in range(8)]
SWEEPS: dict[str, dict[str, list[str]]] = {
    "table1": {"covariance": ["identity", "diagonal", "ledoit_wolf"]},
    "table2": {"backbone": B},
    "table3": {"variant": ["pca_95", "pca_99", "npca_99", "npca_999", "npca_9999"]},
    "table4": {"variant": ["b0_pca_99", "b0", "b0_npca_99", "b4"]},
    "table5": {"reduction": ["none", "npca"]},
    "table7": {"backbone": ["resnet-18", "resnet-34", "resnet-50"]},
    "working_points": {},
    "contamination": {
        "contamination": ["0.0", "0.05", "0.1", "0.15", "0.2"],
        "seed": ["0", "1", "2"],
    },
    "shots": {
        "shots": ["1", "2", "4", "8", "16", "32", "null"],
        "seed": ["0", "1", "2"],
        "detector": ["gaussian", "patchcore"],
    },
    "estimators": {
        "covariance": sorted(
            path.stem
            for path in (config_folder() / "covariance").iterdir()
            if path.stem not in ("graphical_lasso", "factor_analysis")
        )
    },
}

AUGMENTED = ("table4", "table5")
# With backbone=filterbank, b0 and b4 are the same job.
DIFFERENT_ON_ONE_BACKBONE = {"table4": 3}


def composed(*overrides: str) -> Any:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", [*overrides], return_hydra_config=True)


def swept(config: Any) -> dict[str, list[str]]:
    """The choices of each key that an experiment sweeps, in the sweep's own order."""
    list_choices(config)
    params = [f"{key}={value}" for key, value in config.hydra.sweeper.params.items()]
    sweep = [line for line in config.hydra.overrides.task if line.startswith("category=")]
    parsed = OverridesParser.create().parse_overrides([*params, *sweep])
    return {
        one.key_or_group: list(one.sweep_string_iterator())
        if one.is_sweep_override()
        else [one.get_value_element_as_str()]
        for one in parsed
    }


@pytest.mark.parametrize("name", SWEEPS)
def test_an_experiment_sweeps_its_choices_over_all_categories_with_all_folds_in_a_run(
    name: str,
) -> None:
    config = composed(f"experiment={name}")
    keys = swept(config)
    assert keys.pop("category") == list(config.dataset.categories)
    assert len(config.dataset.categories) == 15
    assert config.fold == (ALL_IMAGES if name == "shots" else ALL_FOLDS)
    if name == "estimators":
        keys["covariance"].sort()
    assert keys == SWEEPS[name]
    assert str(config.hydra.mode) == "RunMode.MULTIRUN"


@pytest.mark.parametrize("name", SWEEPS)
def test_every_choice_of_an_experiment_composes(name: str) -> None:
    for key, choices in SWEEPS[name].items():
        for choice in choices:
            composed(f"experiment={name}", f"{key}={choice}")


@pytest.mark.parametrize(
    ("variant", "backbone", "reduction", "threshold"),
    [
        ("b4", "tf_efficientnet_b4.aa_in1k", None, None),
        ("b0", "tf_efficientnet_b0.aa_in1k", None, None),
        ("b0_pca_99", "tf_efficientnet_b0.aa_in1k", False, 0.99),
        ("b0_npca_99", "tf_efficientnet_b0.aa_in1k", True, 0.99),
    ],
)
def test_a_variant_changes_its_settings_together(
    variant: str, backbone: str, reduction: bool | None, threshold: float | None
) -> None:
    config = composed(f"variant={variant}", "backbone.seed=1")
    assert config.backbone.name == backbone
    assert config.reduction.get("negated") is reduction
    assert config.reduction.get("threshold") == threshold


@pytest.mark.parametrize("path", sorted((config_folder() / "experiment").glob("[!_]*.yaml")))
def test_an_experiments_first_line_is_its_command(path: Path) -> None:
    first = path.read_text().splitlines()[1]
    assert first.endswith((f"-m experiment={path.stem}", f"gad_bench experiment={path.stem}"))


def test_the_categories_are_those_of_the_data_set_that_is_chosen(tmp_path: Path) -> None:
    for name in ("screw", "bolt"):
        (tmp_path / name / "train").mkdir(parents=True)
    assert swept(composed("experiment=table1", "dataset=demo"))["category"] == [
        *("fabric", "wood", "hex_nut")
    ]
    own = composed("experiment=table1", "dataset=folder", f"dataset.root={tmp_path}")
    assert swept(own)["category"] == ["bolt", "screw"]


def test_a_data_set_that_is_not_there_is_one_line(program: Any) -> None:
    outcome = program("-m", "experiment=table1", "dataset=folder", "tracking=none")
    assert outcome.status == 2
    assert "set dataset.root=PATH" in outcome.errors
    assert outcome.errors.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in SWEEPS if name != "shots"])
def test_an_experiment_runs_and_its_table_is_complete(
    program: Any, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fewer_passes = ["augmentation.passes=3"] if name in AUGMENTED else []
    outcome = program("-m", f"experiment={name}", *TINY, "category=wood", *fewer_passes)
    assert outcome.status == 0, outcome.errors
    assert report([]) == 0
    printed = capfd.readouterr().out
    different = DIFFERENT_ON_ONE_BACKBONE.get(name, len(outcome.runs))
    assert f"{different} of {different} runs" in printed
    assert Path("report", f"{name}.csv").is_file()


def test_mlflow_and_the_folders_give_the_same_table(program: Any) -> None:
    tracked = [one for one in TINY if one != "tracking=none"]
    assert program("-m", "experiment=table1", *tracked, "category=wood,fabric").status == 0
    assert report(["--output", "folders"]) == 0
    store = ["--tracking-uri", "sqlite:///mlflow.db", "--table", "table1"]
    assert report([*store, "--output", "store"]) == 0
    tables = [Path(source, "table1.csv").read_text() for source in ("folders", "store")]
    assert tables[0] == tables[1]
    assert tables[0].count("\n") == 1 + 5 * 3


def test_the_methods_are_compared_on_one_extraction(program: Any, tmp_path: Path) -> None:
    config = composed("experiment=methods")
    detectors = {
        path.stem
        for path in (config_folder() / "detector").iterdir()
        if path.read_text().startswith("# Patches")
    }
    assert set(swept(config)["detector"]) == detectors | {"gaussian"}
    assert config.fold["_target_"] == "gad_bench.data.split.Full"
    cache = f"cache_dir={tmp_path / 'cache'}"
    outcome = program("-m", "experiment=methods", *TINY, cache, "category=wood")
    assert outcome.status == 0, outcome.errors
    assert len(outcome.runs) == len(detectors) + 1
    found = [json.loads((run / "metrics.json").read_text())["cache_hit"] for run in outcome.runs]
    assert found.count(False) == 1


def test_shots_share_one_extraction_and_what_has_no_answer_is_told(
    program: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny = [*TINY, f"cache_dir={tmp_path / 'cache'}", "category=wood"]
    outcome = program("-m", "experiment=shots", *tiny, "shots=1,4", "seed=0")
    assert outcome.status == 2
    assert (outcome.output + outcome.errors).count("images go through it") == 1
    assert report([]) == 0
    printed = capfd.readouterr().out
    assert "3 of 4 runs (1 failed)" in printed
    assert "features comes of one sample alone: use more training images" in printed
    found = [json.loads((run / "metrics.json").read_text()) for run in outcome.runs]
    assert sorted(run["images_train"] for run in found) == [1, 4, 4]
