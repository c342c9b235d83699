from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from program import Program

from gad_bench.base.choices import choices, keys_of
from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.launch.help import help_text

GROUPS = sorted(path.name for path in config_folder().iterdir() if path.is_dir())
CHOICES = [
    pytest.param(path, id=path.relative_to(config_folder()).as_posix())
    for path in sorted(config_folder().rglob("*/*.yaml"))
    if not path.name.startswith("_")
]


@pytest.mark.parametrize("path", CHOICES)
def test_every_choice_is_named_with_a_line_on_what_it_is(path: Path) -> None:
    lines = [line.lstrip(" *") for line in help_text([]).splitlines()]
    described = [line for line in lines if line.partition(" ")[0].endswith(path.stem)]
    assert any(len(line.split()) > 3 for line in described)


def test_values_and_defaults_are_shown() -> None:
    text = help_text([])
    assert "category=bottle" in text
    assert "* ledoit_wolf" in text
    assert "* efficientnet-b4" in text


def test_choices_of_the_users_own_folder_are_shown(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "ours.yaml").write_text("# the line 4 camera\nname: ours\n")
    text = help_text(["--config-dir", str(tmp_path)])
    assert "ours" in text
    assert "the line 4 camera" in text


def test_a_pipe_among_the_users_own_choices_is_none(tmp_path: Path) -> None:
    (tmp_path / "covariance").mkdir()
    os.mkfifo(tmp_path / "covariance" / "own.yaml")
    assert "own" not in choices([config_folder(), tmp_path], "covariance")


def test_a_choices_own_keys_are_shown_with_their_comments() -> None:
    text = help_text(["--help", "backbone=timm", "fold"])
    assert "backbone.taps=null" in text
    assert "NAME.TAG; NAME alone with weights or pretrained=false" in text
    assert "* kfold" in text
    assert "ledoit_wolf" not in text


def test_keys_that_a_choice_shares_with_others_are_among_its_own() -> None:
    text = help_text(["backbone=efficientnet-b0"])
    assert "backbone.pretrained=true" in text
    assert "backbone.name=tf_efficientnet_b0.aa_in1k" in text
    assert "dataset.shared.rotation_limit=45" in help_text(["dataset=mvtec_ad"])


def test_what_an_experiment_sets_is_shown() -> None:
    assert "covariance: identity,diagonal" in help_text(["experiment=estimators"])


def test_a_choice_that_there_is_not_is_refused_with_those_near_it() -> None:
    with pytest.raises(UserError, match="there is no backbone=resnet18: choose from resnet-18"):
        help_text(["backbone=resnet18"])


@pytest.mark.parametrize("path", CHOICES)
def test_every_key_of_every_choice_is_found(path: Path) -> None:
    loaded = yaml.safe_load(path.read_text())
    wanted = {key for key in loaded if key not in ("_target_", "defaults", "hydra")}
    assert wanted <= {key.name.partition(".")[0] for key in keys_of(path)}


@pytest.mark.parametrize("module", ["gad_bench", "gad_bench.predict"])
def test_a_reader_that_stops_early_is_no_error(module: str) -> None:
    program = f"{sys.executable} -m {module} --help"
    piped = subprocess.run(
        ["bash", "-c", f"{program} | true; exit ${{PIPESTATUS[0]}}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (piped.returncode, piped.stderr) == (0, "")


def test_the_version_is_the_programs_own(program: Program) -> None:
    assert program("--version").output == f"gad_bench {version('gad_bench')}\n"


def test_help_loads_neither_hydra_nor_models() -> None:
    code = (
        "import sys; sys.argv = ['gad_bench', '--help'];"
        "import gad_bench.__main__ as entry\n"
        "try:\n    entry.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.exit(bool({'hydra', 'torch', 'mlflow', 'numpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
