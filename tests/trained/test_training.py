"""A training is the same for the same seed, is kept, stops early, and goes on after a kill."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trained_images import QUICK, backbone, lesson, pictures

from gad_bench.base.errors import UserError
from gad_bench.features.filterbank import FilterBank
from gad_bench.trained.classifier import Classifier
from gad_bench.trained.schedule import Trained

pytest.importorskip("lightning", reason="the extra train is not installed")

KILL = """
import os, signal, sys
from pathlib import Path
from gad_bench.trained import fitting
from trained_images import QUICK, backbone, lesson
from gad_bench.trained.classifier import Classifier

class Killed(fitting.KeepCheckpoint):
    def on_train_epoch_end(self, trainer, module):
        super().on_train_epoch_end(trainer, module)
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)

fitting.KeepCheckpoint = Killed
Classifier(**QUICK | {"epochs": 4}).fit(backbone(), lesson(3), "cpu", Path(sys.argv[1]))
"""
DETECTOR = Classifier(**QUICK | {"epochs": 4})


def train(folder: Path, detector: Classifier = DETECTOR) -> Trained:
    return detector.fit(backbone(), lesson(3), "cpu", folder)


def assert_same(first: Trained, second: Trained) -> None:
    assert first.curves == second.curves
    other = second.network.state_dict()
    for key, value in first.network.state_dict().items():
        assert torch.equal(value, other[key]), key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Trained:
    """A training that was not interrupted."""
    return train(folder)


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(
    whole: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [str(Path(__file__).parents[1]), *sys.path]
    killed = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path)],
        env={"PYTHONPATH": ":".join(folders), "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    assert (tmp_path / "last.ckpt").is_file()
    assert not (tmp_path / "training.json").exists()
    with caplog.at_level(logging.INFO):
        resumed = train(tmp_path)
    assert "going on with a training: 2 epochs are done" in caplog.text
    assert_same(resumed, whole)
    assert not (tmp_path / "last.ckpt").exists()


def test_a_training_that_is_done_is_read_again(whole: Trained, folder: Path) -> None:
    written = (folder / "best.safetensors").stat().st_mtime_ns
    assert_same(train(folder), whole)
    assert (folder / "best.safetensors").stat().st_mtime_ns == written


def test_what_is_damaged_is_trained_again_with_a_word_and_runs_no_code(
    whole: Trained, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    shutil.copy(folder / "training.json", tmp_path)
    (tmp_path / "best.safetensors").write_bytes(b"nonsense")
    torch.save({"curves": Evil(), "best": {}, "best_epoch": 0}, tmp_path / "last.ckpt")
    with caplog.at_level(logging.WARNING):
        again = train(tmp_path)
    assert caplog.text.count("the training starts again") == 2
    assert not (tmp_path / "ran").exists()
    assert_same(again, whole)


def test_training_stops_where_validation_gets_no_better_and_keeps_the_best(tmp_path: Path) -> None:
    idle = dataclasses.replace(DETECTOR, epochs=9, patience=2, learning_rate=1e-12)
    curves = train(tmp_path, idle).curves
    measured = curves.values["validation_auroc"]
    assert len(measured) == curves.best_epoch + 1 + 2 < 9
    assert curves.best_epoch == int(np.argmax(measured))


def test_another_seed_gives_other_weights(whole: Trained, tmp_path: Path) -> None:
    other = train(tmp_path, dataclasses.replace(DETECTOR, seed=1))
    assert other.curves != whole.curves


def test_the_logit_tells_classes_apart_that_differ_plainly(whole: Trained) -> None:
    tested, labels = pictures(20, light=9, seed=5)
    scores = DETECTOR.judge(whole, tested, "cpu", None).scores
    assert scores[labels == 1].min() > scores[labels == 0].max()
    with torch.inference_mode():
        standardised = (
            torch.from_numpy(tested / 255).float() * 2 - 1
        )  # as timm says of this network
        network: Any = whole.network
        expected = network.network(standardised.permute(0, 3, 1, 2))[:, 0]
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation_labels": np.zeros(8, int)}, "all 8 images held out have the same label"),
        ({"train_labels": np.zeros(17, int)}, "all 17 images fitted have the same label"),
        ({"train": np.empty((1, 32, 32, 3), np.uint8)}, "1 images are too few"),
    ],
)
def test_images_that_admit_no_training_are_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        DETECTOR.fit(backbone(), dataclasses.replace(lesson(3), **change), "cpu", tmp_path)


def test_a_backbone_that_cannot_be_trained_is_refused() -> None:
    bank = FilterBank(input_size=256, octaves=5, orientations=2, wavelength=4.0)
    with pytest.raises(UserError, match="trains a network of timm"):
        DETECTOR.trainable(bank)


@pytest.mark.parametrize("key", ["epochs", "batch_size", "patience", "learning_rate"])
def test_impossible_values_are_refused(key: str) -> None:
    with pytest.raises(UserError, match=rf"detector\.{key} must be"):
        Classifier(**QUICK | {key: 0})


def test_a_training_that_diverges_ends_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lower detector\.learning_rate=1e\+30"):
        train(tmp_path, dataclasses.replace(DETECTOR, learning_rate=1e30))
