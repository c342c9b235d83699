"""What cannot be done ends with status 2 and one line that says what is wrong and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from program import Outcome, Program

QUICK = ["backbone=filterbank", "tracking=none", "figures=false"]
DEMO = ["dataset=demo", "category=wood", *QUICK]


def refusal(outcome: Outcome) -> str:
    """Return the one line, after checking that it is all there is."""
    assert outcome.status == 2, outcome.errors
    assert "Traceback" not in outcome.errors + outcome.output
    (line,) = [line for line in outcome.errors.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["category=bottel"], "no category 'bottel': choose from fabric, wood, hex_nut"),
        (["backbone=efficientnet-b9"], "efficientnet-b4"),
        (["covariance=wolf"], "ledoit_wolf"),
        (["blocks.indices=[0,9]"], "there is no block 9; this backbone's blocks are 0 to 5"),
        (["blocks.indices=[1,1]"], "names block 1 twice"),
        (["blocks.indices=[]"], "name at least one block"),
        (["fold.index=5"], "fold.index=5: there is no such fold"),
        (["fold.indx=1"], "indx"),
        (["batchsize=4"], "batchsize"),
        (["batch_size=0"], "batch_size must be at least 1"),
        (["batch_size=many"], "batch_size=many: Value 'many' of type 'str' could not be converted"),
        (["keep_images=maybe"], "keep_images=maybe: Value 'maybe' is not a valid bool"),
        (["threshold.fpr=0"], "threshold.fpr must lie in (0, 1), not 0"),
        (["threshold.fpr=often"], "threshold.fpr"),
        (["threshold.methods=[student]"], "choose from gaussian, conformal"),
        (
            ["threshold=conformal", "fold=full", "fold.calibration_folds=0"],
            "use fold=kfold, fold=cross, fold=full with fold.calibration_folds=5, or threshold=g",
        ),
        (["fold=full", "fold.calibration_folds=1"], "must be 0 or at least 2, not 1"),
        (
            [
                *("threshold=conformal", "fold=full", "fold.calibration_folds=2"),
                *("dataset.train=10", "covariance=empirical", "blocks.indices=[0]"),
            ],
            "fit 1 of 2 that calibrate, on 5 images: block 0: covariance=empirical",
        ),
        (["threshold=gaussian", "covariance=diagonal"], "use covariance=ledoit_wolf or threshold"),
        (["device=cuda:99"], "choose device=auto or device=cpu"),
        (["device=gpu"], "choose auto, cpu, cuda, cuda:N or mps"),
        (["contamination=1.5"], r"contamination must lie in [0, 1)"),
        (["dataset.train=3"], "3 training images cannot make 5 folds"),
        (["dataset.train=20", "covariance=empirical"], "use covariance=ledoit_wolf"),
        (["reduction=pca", "reduction.threshold=1"], r"must lie in (0, 1)"),
        (["dataset=mvtec_ad", "category=screw"], "set MVTECPATH or dataset.root=PATH"),
        (
            ["dataset=mvtec_ad", "category=screw", "dataset.root=/nowhere"],
            "there is no folder /nowhere",
        ),
        (["dataset=folder"], "set dataset.root=PATH"),
        (["backbone=resnet-18", "backbone.weights=/no.pth"], "there is no such file"),
        (["backbone=timm", "backbone.name=resnet19"], "resnet18"),
        (["tracking=mlflow", "tracking.uri=nonsense://x"], "tracking=none"),
        (["experiment=nothing"], "demo"),
        (["covarience=oas"], "covarience is no key of the config: near it: covariance"),
        (["+covarience=oas"], "covarience is no key of the config: near it: covariance"),
        (["backbone=resnet18"], "there is no backbone=resnet18 (near it: resnet-18"),
        (["hydra/launcher=jobli"], "there is no hydra/launcher=jobli (near it: joblib)"),
        (["threshold.frp=0.01"], "threshold.frp is no key of the config: near it: threshold.fpr"),
        (["+threshold.frp=0.01"], "threshold.frp is no key of the config: near it: threshold.fpr"),
        (
            ["threshold.x=0.01"],
            "threshold.x is no key of the config: choose from threshold.fpr, thresh",
        ),
        (["detector=knn", "detector.reductoin=3"], "near it: detector.reduction"),
        (["category=näme"], """quote the value, as in 'category="näme"'"""),
        (["category=my[1]"], """quote the value, as in 'category="my[1]"'"""),
        (["category='x"], """quote the value, as in 'category="x"'"""),
        (["covariance"], "covariance is no KEY=VALUE"),
        (["save=/proc/x"], "save=/proc/x: /proc cannot be written"),
        (["dataset=folder", f"dataset.root={'x' * 300}"], "File name too long"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_impossible_is_told_in_one_line(
    program: Program, overrides: list[str], message: str
) -> None:
    line = refusal(program(*DEMO, *overrides))
    assert message in line


Spoil = Callable[[Path], object]


def image(path: Path, size: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 255, (size, size, 3), np.uint8)
    cv2.imwrite(str(path), noise)


@pytest.fixture
def bolts(tmp_path: Path) -> Path:
    """A small category of the user's own."""
    folder = tmp_path / "goods" / "bolt"
    for number in range(10):
        image(folder / "train" / "good" / f"{number}.png")
    for number in range(3):
        image(folder / "test" / "good" / f"{number}.png")
        image(folder / "test" / "bent" / f"{number}.png")
        image(folder / "ground_truth" / "bent" / f"{number}_mask.png")
    return folder


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def keep_one(folder: Path) -> None:
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: truncate(folder / "train/good/4.png"), "4.png cannot be read as an image"),
        (lambda folder: (folder / "test/bent/1.png").write_text("no picture"), "1.png"),
        (lambda folder: shutil.rmtree(folder / "train/good"), "train/good does not exist"),
        (lambda folder: keep_one(folder / "train/good"), "1 training images cannot make 5 folds"),
        (
            lambda folder: image(folder / "ground_truth/bent/2_mask.png", 30),
            "2_mask.png is 30 x 30 pixels",
        ),
    ],
    ids=["truncated", "no image", "no training", "one training image", "mask"],
)
def test_images_that_cannot_be_used_are_named(
    program: Program, bolts: Path, spoil: Spoil, message: str
) -> None:
    spoil(bolts)
    line = refusal(program(*QUICK, *own(bolts)))
    assert message in line


def own(folder: Path) -> list[str]:
    return ["dataset=folder", f"dataset.root={folder.parent}", f"category={folder.name}"]


def test_the_only_category_need_not_be_named(program: Program, bolts: Path) -> None:
    named, *_ = own(bolts)[1:2]
    outcome = program(*QUICK, "dataset=folder", named, "covariance=identity")
    assert outcome.status == 0, outcome.errors
    assert " · bolt · fold 0: AUROC" in outcome.output
    config = OmegaConf.load(outcome.runs[-1] / ".hydra" / "config.yaml")
    assert config.category == "bolt"


def test_one_of_several_categories_must_be_named(program: Program, bolts: Path) -> None:
    shutil.copytree(bolts, bolts.with_name("nut"))
    line = refusal(program(*QUICK, "dataset=folder", f"dataset.root={bolts.parent}"))
    assert "category= is missing: data set folder has bolt, nut" in line


def test_the_only_category_of_a_list_need_not_be_named(program: Program, bolts: Path) -> None:
    rows = [f"{path},{int('bent' in path.parts)},{path.parts[-3]}"
            for path in bolts.rglob("t*/*/*.png")]  # fmt: skip
    table = bolts.parent / "line 4.csv"
    table.write_text("\n".join(["path,label,split", *rows]))
    outcome = program(*QUICK, "covariance=identity", "dataset=folder", f"dataset.csv='{table}'")
    assert outcome.status == 0, outcome.errors
    assert " · line 4 · fold 0: AUROC" in outcome.output


def test_images_in_a_format_that_is_not_read_are_told_of_once(
    program: Program, bolts: Path
) -> None:
    for number in range(2):
        (bolts / "train" / "good" / f"{number}.gif").write_bytes(b"GIF89a")
    outcome = program(*QUICK, *own(bolts), "covariance=identity")
    assert outcome.status == 0, outcome.errors
    assert outcome.output.count("2 .gif files are passed over: convert them to PNG") == 1


def test_an_output_folder_that_cannot_be_made_is_named(program: Program) -> None:
    outcome = program(*DEMO, "hydra.run.dir=/proc/x")
    assert outcome.status == 1
    assert outcome.errors == "error: /proc/x cannot be used: No such file or directory\n"


def test_one_training_image_is_too_few_without_folds(program: Program, bolts: Path) -> None:
    keep_one(bolts / "train/good")
    outcome = program(*QUICK, *own(bolts), "fold=full")
    assert "use more training images" in refusal(outcome)


def test_weights_of_another_network_are_refused(program: Program, bolts: Path) -> None:
    weights = bolts.parent.parent / "other.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, weights)
    outcome = program(*QUICK, "backbone=resnet-18", f"backbone.weights={weights}", *own(bolts))
    assert "does not fit backbone.name=resnet18.tv_in1k" in refusal(outcome)


def test_a_checkpoint_that_would_run_code_is_refused(program: Program, bolts: Path) -> None:
    weights = bolts.parent.parent / "evil.pth"
    torch.save({"state_dict": shutil.rmtree}, weights)
    outcome = program(*QUICK, "backbone=resnet-18", f"backbone.weights={weights}", *own(bolts))
    assert "would run code when read" in refusal(outcome)


def test_weights_that_are_not_to_be_had_say_how_to_get_them(
    program: Program, bolts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", nowhere)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(bolts / "empty"))
    line = refusal(program(*QUICK, "backbone=resnet-18", *own(bolts)))
    assert "backbone.weights=PATH" in line
    assert "backbone.pretrained=false" in line


def test_a_cache_folder_that_cannot_be_written_is_named(program: Program, bolts: Path) -> None:
    blocked = bolts.parent.parent / "file"
    blocked.write_text("in the way")
    outcome = program(*QUICK, *own(bolts), f"cache_dir={blocked / 'cache'}")
    assert "cache_dir=PATH" in refusal(outcome)


def test_the_traceback_is_shown_on_request(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    outcome = program(*DEMO, "fold.index=7")
    assert outcome.status == 2
    assert "Traceback" in outcome.errors
