"""The store's key changes exactly when the features do, whatever is changed in the config."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.process import config_folder, resolve_device
from gad_bench.config import compose_config
from gad_bench.data.augmentation import NoAugmentation
from gad_bench.data.split import split_catalog
from gad_bench.features.interface import Features
from gad_bench.steps.identity import flatten
from gad_bench.steps.parts import Parts
from gad_bench.steps.training import obtain_training

SIDE = 64
BANK = ["backbone=filterbank", "backbone.input_size=64", "backbone.octaves=2"]
NETWORK = [
    "backbone=resnet-18",
    "backbone.pretrained=false",
    "backbone.input_size=64",
    "backbone.taps=[maxpool,layer1]",
]
PAPER = ["augmentation=paper", "augmentation.passes=3", "augmentation.probability=1"]
BASES = {
    "filter bank": BANK,
    "filter bank, augmented": [*BANK, *PAPER],
    "random network": NETWORK,
    "network from a file": [*NETWORK[:1], *NETWORK[2:], "backbone.weights={weights}"],
}

CHANGES: dict[str, Any] = {
    "category": "cable",
    "backbone.input_size": 128,
    "backbone.input_width": 128,
    "backbone.orientations": 4,
    "backbone.wavelength": 5.0,
    "backbone.mean": [0.5, 0.5, 0.5],
    "backbone.std": [0.5, 0.5, 0.5],
    "backbone.taps": ["act1", "layer1"],
    "runtime.precision": "bfloat16",
}
"""What changes every base's features, where the base has it."""

CHANGES_OF_RANDOM_WEIGHTS: dict[str, Any] = {"backbone.seed": 1}
CHANGES_OF_WEIGHTS: dict[str, Any] = {"backbone.weights": "{other_weights}"}
CHANGES_OF_AUGMENTATION: dict[str, Any] = {
    "augmentation.passes": 2,
    "augmentation.seed": 1,
    "augmentation.probability": 0.5,
    "augmentation.clip_limits": [1.0, 1.5],
    "augmentation.motion_blur": "chord",
    "computation.clip_limits": [1.0, 1.5],
    "computation.motion_blur": "chord",
    "dataset.shared.horizontal_flip": False,
    "dataset.shared.quarter_turns": False,
    "dataset.categories.bottle.rotation_limit": 45,
    "dataset.shared.shift_limit": 0.0,
    "dataset.shared.scale_limits": [-0.05, 0.05],
}

SAME: dict[str, Any] = {
    "shots": 2,
    "contamination": 0.5,
    "largest_contamination": 0.5,
    "seed": 1,
    "batch_size": 3,
    "device": resolve_device("auto"),
    "cache_dir": "{elsewhere}",
    "cache_remote": "file://{remote}",
    "keep_images": True,
    "cost": True,
    "objective": "aupr",
    "figures": False,
    "resume": True,
    "backbone.name": "{alias}",
    "backbone.weights": "{same_weights}",
    "backbone.seed": 1,
    "backbone.padding": "nominal",  # a ResNet's is the same
    "backbone.best": [1],
    "computation.padding": "nominal",
    "computation.precision": "float32",
    "computation.cutoff": 1e-7,
    "computation.edge": "literal",
    "computation.ddof": 1,
    "computation.gamma": "deviation",
    "computation.average_precision": "trapezoid",
    "computation.sigma": "share",
    "covariance.precision": "float32",
    "covariance.cutoff": 1e-7,
    "metrics.average_precision": "trapezoid",
    "metrics.sigma": "share",
    "metrics.aupro_limits": [0.1],
    "metrics.deviations": 2.0,
    "backbone.octaves": 3,  # more blocks, of which each is as it was
    "blocks.indices": [1],
    "dataset.masks": "other",
    "dataset.name": "other",
    "dataset.root": "{same_images}",
    "dataset.hint": "other",
    "dataset.shared.kind": "texture",
    "dataset.shared.rotation_limit": 30,  # bottle has its own
    "dataset.shared.smallest_defect": 9,
    "dataset.categories.bottle.smallest_defect": 9,
    "fold.index": 1,
    "fold.n_splits": 4,
    "fold.seed": 1,
    "runtime.tf32": True,  # for GPUs alone
    "image_score.smoothing": 2.0,
    "maps.precision": "float16",  # of maps, which have keys of their own
    "maps.limit": 1.0,
    "maps.keep": [1],
    "save": "folder",
    "threshold.fpr": 0.1,
    "threshold.methods": ["gaussian"],
    "threshold.required": True,
    "tracking.uri": "sqlite:///other.db",
    "tracking.experiment": "other",
} | CHANGES_OF_AUGMENTATION
"""What does not change the features of a base for which no other table has it."""

NEUTRAL_CHOICES = [
    "combination=maximum",
    "covariance=diagonal",
    "detector=knn",
    "embedding=tsne",
    "explanation=components",
    "extraction=ray",
    "fold=full",
    "image_score=mean",
    "localisation=mahalanobis",
    "metrics=standard",
    "normalisation=l2",
    "reduction=pca",
    "selection=synthetic",
    "threshold=conformal",
    "threshold=gaussian",
    "tracking=none",
]
SPEAKING_GROUPS = [
    *("augmentation", "backbone", "blocks", "computation", "dataset", "input", "maps", "runtime")
]
NEVER_LISTED = (
    "*_target_",  # classes
    "detector.*",  # interpolated from other groups
    *("dataset.good", "dataset.validation", "dataset.test"),  # which images there are
    *("backbone.final_norm", "backbone.pooling"),  # of transformers, in test_transformers
)
FIXED = {  # what a base cannot be without
    "random network": {"backbone.pretrained", "backbone.weights"},
    "network from a file": {"backbone.pretrained"},
}


@dataclass
class Found:
    """Where features are stored and what they are."""

    keys: list[str]
    blocks: list[dict[int, Features]]

    def differs_from(self, other: Found) -> bool:
        return any(
            mine[block].shape != theirs[block].shape
            or not np.allclose(mine[block], theirs[block], rtol=1e-4, atol=1e-6)
            for mine, theirs in zip(self.blocks, other.blocks, strict=True)
            for block in mine.keys() & theirs.keys()
        )


class Workshop:
    """Composes configs on small images and weights, and extracts by them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = {
            "weights": write_weights(folder / "weights.pth", 0),
            "same_weights": shutil.copy(folder / "weights.pth", folder / "copy.pth"),
            "other_weights": write_weights(folder / "other.pth", 1),
            "elsewhere": folder / "elsewhere",
            "remote": folder / "remote",
            "same_images": folder / "same images",
            "alias": "resnet18.a1_in1k",
        }
        for number, category in enumerate(("bottle", "cable")):
            draw_category(folder / "images" / category, number)
        shutil.copytree(folder / "images" / "bottle", folder / "images" / "capsule")
        shutil.copytree(folder / "images", folder / "same images")
        self.configs: dict[tuple[str, ...], DictConfig] = {}
        self.bases: dict[str, Found] = {}

    def compose(self, base: str, *overrides: str) -> DictConfig:
        name = (base, *overrides)
        if name not in self.configs:
            self.configs[name] = self._compose(base, *overrides)
        return deepcopy(self.configs[name])

    def _compose(self, base: str, *overrides: str) -> DictConfig:
        common = ["runtime=torch", f"dataset.root={self.folder / 'images'}"]
        common += [f"cache_dir={self.folder / 'cache'}"]
        mine = [override.format(**self.names) for override in BASES[base]]
        return compose_config([*common, *mine, *overrides])

    def change(self, base: str, key: str, value: object) -> Found:
        config = self.compose(base)
        if isinstance(value, str):
            value = value.format(**self.names)
        OmegaConf.update(config, key, value, force_add=True)
        return self.extract(config)

    def base(self, name: str) -> Found:
        if name not in self.bases:
            self.bases[name] = self.extract(self.compose(name))
        return self.bases[name]

    def extract(self, config: DictConfig) -> Found:
        """Return the plain and the fitted features, as a run obtains them."""
        parts = Parts.build(config)
        catalog = parts.dataset.catalog(config.category)
        (split,) = split_catalog(catalog, parts.fold, config.contamination, config.seed)
        source = parts.feature_source(config, {})
        stored = [source.features(list(catalog["path"]))]
        limits = parts.dataset.facts(config.category)
        if not isinstance(parts.augmentation, NoAugmentation):
            trained = list(catalog["path"][catalog["split"] == "train"])
            stored.append(source.augmented(trained, parts.augmentation, limits))
        training = obtain_training(catalog, [split], stored[0], source, parts.augmentation, limits)
        assert len(training.rows(split)) == len(split.train) * parts.augmentation.passes
        return Found([one.path.parent.name for one in stored], [one.blocks for one in stored])


def write_weights(path: Path, seed: int) -> Path:
    import timm

    torch.manual_seed(seed)
    torch.save(timm.create_model("resnet18").state_dict(), path)
    return path


def draw_category(folder: Path, seed: int) -> None:
    noise = np.random.default_rng(seed)
    for place, count in (("train/good", 5), ("test/good", 1), ("test/broken", 4)):
        (folder / place).mkdir(parents=True)
        for number in range(count):
            small = noise.random((6, 6, 3), np.float32)
            image = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / place / f"{number}.png"), np.clip(image, 0, 1) * 255)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # images so small are slower on several, and on a busy machine by far
    yield Workshop(tmp_path_factory.mktemp("key"))
    torch.set_num_threads(threads)


def changes_of(base: str) -> dict[str, Any]:
    own: dict[str, Mapping[str, Any]] = {
        "filter bank, augmented": CHANGES_OF_AUGMENTATION,
        "random network": CHANGES_OF_RANDOM_WEIGHTS,
        "network from a file": CHANGES_OF_WEIGHTS,
    }
    return {**CHANGES, **own.get(base, {})}


def leaves(workshop: Workshop, base: str) -> list[str]:
    """Return the keys of a base; of a network's only the backbone's, for the rest is the same."""
    return [
        key
        for key in flatten(workshop.compose(base))
        if not any(fnmatch(key, pattern) for pattern in NEVER_LISTED)
        and key not in FIXED.get(base, ())
        and ("network" not in base or key.startswith("backbone."))
    ]


@pytest.mark.parametrize("base", BASES)
def test_every_value_of_the_config_that_changes_features_changes_the_key(
    workshop: Workshop, base: str
) -> None:
    before = workshop.base(base)
    for key in leaves(workshop, base):
        if key in changes_of(base):
            after = workshop.change(base, key, changes_of(base)[key])
            assert after.differs_from(before), f"{key} was to change the features"
            assert after.keys != before.keys, key


@pytest.mark.parametrize("base", BASES)
def test_no_other_value_of_the_config_changes_the_key(workshop: Workshop, base: str) -> None:
    before = workshop.base(base)
    for key in leaves(workshop, base):
        if key not in changes_of(base):
            assert key in SAME, f"{key} is new: does it change the features?"
            after = workshop.change(base, key, SAME[key])
            assert after.keys == before.keys, key
            assert not after.differs_from(before), f"{key} was not to change the features"


@pytest.mark.parametrize("choice", NEUTRAL_CHOICES)
def test_no_choice_of_what_comes_after_the_features_changes_the_key(
    workshop: Workshop, choice: str
) -> None:
    found = workshop.extract(workshop.compose("filter bank", choice))
    assert found.keys == workshop.base("filter bank").keys


def test_every_group_is_either_neutral_or_looked_at_key_by_key() -> None:
    folders = {path.name for path in config_folder().iterdir() if path.is_dir()}
    neutral = {choice.partition("=")[0] for choice in NEUTRAL_CHOICES}
    assert folders - {"experiment", "hydra", "variant"} == neutral | {*SPEAKING_GROUPS}


def test_another_category_of_the_same_images_has_the_same_key(workshop: Workshop) -> None:
    found = workshop.change("filter bank", "category", "capsule")
    assert found.keys == workshop.base("filter bank").keys


def test_the_same_weights_in_another_file_have_the_same_key(workshop: Workshop) -> None:
    found = workshop.change("network from a file", "backbone.weights", "{same_weights}")
    assert found.keys == workshop.base("network from a file").keys


def test_augmentation_leaves_the_plain_key_alone(workshop: Workshop) -> None:
    plain, augmented = workshop.base("filter bank, augmented").keys
    assert [plain] == workshop.base("filter bank").keys
    assert plain != augmented


def test_runtimes_have_keys_of_their_own(workshop: Workshop) -> None:
    """They agree to 1e-4, and which of them a number came from must not depend on luck."""
    openvino = workshop.extract(workshop.compose("filter bank", "runtime=openvino"))
    assert openvino.keys != workshop.base("filter bank").keys


@pytest.mark.parametrize(
    ("base", "key", "as_integer", "as_float"),
    [
        ("filter bank", "backbone.wavelength", 4, 4.0),
        ("random network", "backbone.mean", [0, 0, 0], [0.0, 0.0, 0.0]),
        ("random network", "backbone.std", [1, 1, 1], [1.0, 1.0, 1.0]),
        ("filter bank, augmented", "augmentation.probability", 1, 1.0),
        ("filter bank, augmented", "dataset.shared.rotation_limit", 15, 15.0),
        ("filter bank, augmented", "dataset.shared.scale_limits", [0, 0], [0.0, 0.0]),
    ],
)
def test_a_number_is_the_same_with_or_without_a_point(
    workshop: Workshop, base: str, key: str, as_integer: object, as_float: object
) -> None:
    one, other = (workshop.change(base, key, value) for value in (as_integer, as_float))
    assert one.keys == other.keys
