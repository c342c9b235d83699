from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


def test_help_loads_neither_hydra_nor_models() -> None:
    code = (
        "import sys; sys.argv = ['gad_bench', '--help'];"
        "import gad_bench.__main__ as entry; entry.main();"
        "sys.exit(bool({'hydra', 'torch', 'mlflow', 'numpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
