"""A data set of the user's own, as the README shows it: one class and one YAML file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pandas as pd
import pytest

from gad_bench.data.demo.photograph import photograph_defective, photograph_good

CLASS = '''
from dataclasses import dataclass

from gad_bench.data.catalog import ImageRow
from gad_bench.data.category_folders import CategoryFolders
from gad_bench.data.folders import list_images


@dataclass(frozen=True, kw_only=True)
class Ours(CategoryFolders):
    """LINE/0001_OK.png, LINE/0002_NOK.png: every third good image is tested."""

    def rows(self, folder, category):
        for number, image in enumerate(list_images(folder)):
            good = image.stem.endswith("_OK")
            split = "train" if good and number % 3 else "test"
            defect = "good" if good else "scratch"
            yield ImageRow(str(image), category, split, int(not good), defect, mask="")
'''
YAML = """\
# our line's images
defaults: [_facts]
_target_: our_images.Ours
name: ours
root: archive
hint: mount the archive
categories:
  line_1: {}
  line_2: {}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    (folder / "our_images.py").write_text(CLASS)
    (folder / "our_conf" / "dataset").mkdir(parents=True)
    (folder / "our_conf" / "dataset" / "ours.yaml").write_text(YAML)
    (folder / "archive" / "line_1").mkdir(parents=True)
    for number in range(15):
        good = photograph_good("hex_nut", 0, number)
        cv2.imwrite(str(folder / f"archive/line_1/{number:04}_OK.png"), good)
    for number in range(15, 18):
        bad, _ = photograph_defective("hex_nut", 0, number, "scratch")
        cv2.imwrite(str(folder / f"archive/line_1/{number:04}_NOK.png"), bad)
    return folder


def gad_bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    package = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": package, "GAD_BENCH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "gad_bench", "--config-dir", "our_conf", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


RUN = ("backbone=filterbank", "tracking=none", "figures=false", "hydra.run.dir=run")


def test_a_class_and_a_file_make_a_data_set(folder: Path) -> None:
    done = gad_bench(folder, "dataset=ours", "category=line_1", *RUN)
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(folder / "run" / "scores.csv")
    assert list(scores["defect"]) == ["good"] * 5 + ["scratch"] * 3
    assert Path(scores["path"][0]).name == "0000_OK.png"


def test_its_errors_are_a_line_like_all_others(folder: Path) -> None:
    for category, message in (
        ("line_2", f"error: data set ours: there is no folder {folder}/archive/line_2: mount the"),
        ("line_3", "error: data set ours has no category 'line_3': choose from line_1, line_2"),
    ):
        done = gad_bench(folder, "dataset=ours", f"category={category}", *RUN)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_it_is_among_the_choices_in_the_help(folder: Path) -> None:
    assert "ours                   our line's images" in gad_bench(folder, "--help").stdout
