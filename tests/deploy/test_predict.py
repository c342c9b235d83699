from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from saved import Saved


@pytest.fixture
def images(saved: Saved) -> Path:
    """A folder of three test images."""
    folder = saved.work / "images"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, path in enumerate(saved.paths[:3]):
        shutil.copyfile(path, folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("pattern", ["images", "images/*.png", "**/images/?.png"])
def test_a_csv_has_a_row_per_image(saved: Saved, images: Path, pattern: str) -> None:
    assert images.is_dir()
    arguments = ["detector=detector", f"images={pattern}", "output=found"]
    output, _ = saved.command("gad_bench.predict", *arguments)
    assert "3 images scored" in output
    table = pd.read_csv(saved.work / "found" / "scores.csv")
    blocks = [name for name in saved.scores if name.startswith("block_")]
    assert list(table) == ["path", *blocks, "score", "p_value", "anomalous"]
    assert [Path(path).name for path in table["path"]] == ["0.png", "1.png", "2.png"]
    np.testing.assert_allclose(table["score"], saved.scores["score"][:3], rtol=1e-9)


def test_unreadable_images_are_named_and_the_others_scored(saved: Saved, images: Path) -> None:
    (images / "1.png").write_bytes(b"no image")
    arguments = ["detector=detector", "images=images", "output=rest"]
    output, errors = saved.command("gad_bench.predict", *arguments, status=1)
    assert "2 images scored" in output
    assert "1 passed over" in output
    assert "images/1.png cannot be read as an image" in errors
    assert len(pd.read_csv(saved.work / "rest" / "scores.csv")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["images=images"], "detector= is missing"),
        (["detector=none", "images=images"], "none holds no detector"),
        (["detector=detector", "images=no/*.png"], "images=no/*.png matches no file"),
        (["detector=detector", "images=images", "device=tpu"], "device=tpu is unknown"),
        (["detector=detector", "images=images", "batch_size=few"], "batch_size"),
        (["detector=detector", "images=images", "batch_size=0"], "batch_size must be at least 1"),
        (["detector=detector", "picture=images"], "there is no key picture"),
        (["detector=detector", "images=a", "images=b"], "images= is given twice"),
        (["detector"], "detector is no KEY=VALUE"),
    ],
)
def test_a_mistake_ends_in_one_line(
    saved: Saved, images: Path, arguments: list[str], message: str
) -> None:
    assert images.is_dir()
    _, errors = saved.command("gad_bench.predict", *arguments, status=2)
    (line,) = errors.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_the_help_names_every_key(saved: Saved) -> None:
    output, _ = saved.command("gad_bench.predict", "--help")
    for key in ("detector=", "images=", "output=predictions", "threshold=", "weights=", "device="):
        assert key in output
