"""AUROC against the share of the training images that are anomalous, drawn as a PNG.

    python benchmarks/contamination.py --png docs/contamination.png -- backbone=timm \\
        backbone.name=mobilenetv2_100 backbone.weights=FILE dataset=folder dataset.root=DIR \\
        category=magnetic_tile fold=full blocks.indices=[3]

What follows `--` are the run's own overrides. Which images contaminate is drawn by several seeds.
Every share is measured on the test images that are left at the largest one, so that all points of a
seed's curve have the same test set. Needs the images, and weights where the backbone has any.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from omegaconf import DictConfig

from gad_bench.config import compose_config
from gad_bench.data.split import Split, split_catalog
from gad_bench.evaluation.metrics import auroc
from gad_bench.features.source import FeatureSource
from gad_bench.features.store import StoredFeatures
from gad_bench.gaussian import Detector
from gad_bench.steps.parts import Parts
from gad_bench.steps.scoring import fit, score
from gad_bench.steps.training import obtain_training

SHARES = (0.0, 0.02, 0.05, 0.10, 0.15, 0.20)


def main() -> None:
    arguments = parse()
    parts = {name: build(arguments, name) for name in arguments.covariance}
    config, first = next(iter(parts.values()))
    catalog = first.dataset.catalog(config.category)
    about = {"dataset": first.dataset.name, "category": config.category, "backbone": "benchmark"}
    source = first.feature_source(config, about)
    features = source.features(list(catalog["path"]))
    table = pd.DataFrame(
        [
            {"covariance": name, "share": share, "auroc": 100 * value}
            for seed in range(arguments.seeds)
            for name, (_, built) in parts.items()
            for share, value in curve(catalog, source, features, built, seed)
        ]
    )
    areas = table.groupby(["share", "covariance"])["auroc"]
    means = pd.DataFrame(areas.agg(["mean", "sem"]).unstack())
    print(means.round(1).to_string())
    arguments.png.parent.mkdir(parents=True, exist_ok=True)
    draw(means, f"{config.category}, mean and SEM over {arguments.seeds} draws", arguments.png)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--covariance", nargs="+", default=["ledoit_wolf", "min_cov_det"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--png", type=Path, required=True)
    parser.add_argument("overrides", nargs="+")
    return parser.parse_args()


def build(arguments: argparse.Namespace, covariance: str) -> tuple[DictConfig, Parts]:
    overrides = [*arguments.overrides, f"covariance={covariance}", "tracking=none"]
    config = compose_config(overrides)
    return config, Parts.build(config)


def curve(
    catalog: pd.DataFrame,
    source: FeatureSource,
    features: StoredFeatures,
    parts: Parts,
    seed: int,
) -> list[tuple[float, float]]:
    (most,) = split_catalog(catalog, parts.fold, max(SHARES), seed)
    limits = parts.dataset.facts(catalog["category"].iloc[0])
    points = []
    for share in SHARES:
        (split,) = split_catalog(catalog, parts.fold, share, seed)
        common = Split(train=split.train, validation=split.validation, test=most.test)
        training = obtain_training(catalog, [common], features, source, parts.augmentation, limits)
        model = fit(training, common, cast("Detector", parts.detector), parts.combination)
        scores = score(catalog, features.blocks, model, common)
        points.append((share, auroc(scores.labels, scores.combined)))
    return points


def draw(means: pd.DataFrame, title: str, path: Path) -> None:
    figure = Figure(figsize=(5.5, 3.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = 100 * np.asarray(means.index)
    for name in means["mean"].columns:
        axes.errorbar(
            shares, means["mean"][name], means["sem"][name], marker="o", capsize=3, label=name
        )
    axes.set(xlabel="anomalous training images, %", ylabel="AUROC, %", title=title)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
