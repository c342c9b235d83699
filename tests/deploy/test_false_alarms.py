"""A detector of all good images keeps the false alarms that were asked for, on real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from vectors import Vectors

from gad_bench.config import compose_config
from gad_bench.data.split import Split
from gad_bench.deploy.rule import decision_rule
from gad_bench.features.interface import Features
from gad_bench.steps.cross_fitting import cross_fit
from gad_bench.steps.parts import Parts

SPLITS, FRESH, WANTED = 100, 95, 0.05


@pytest.fixture(scope="module")
def parts(assets: Path) -> Parts:
    network = ["backbone=timm", "backbone.name=mobilenetv2_100", "blocks.indices=[1,2,3]"]
    network += [f"backbone.weights={assets / 'weights' / 'mobilenetv2_100.pth'}"]
    images = ["dataset=folder", f"dataset.root={assets / 'images'}", "category=magnetic_tile"]
    return Parts.build(compose_config([*network, *images, "fold=full"]))


@pytest.fixture(scope="module")
def good_tiles(parts: Parts, shared_cache: Path) -> tuple[pd.DataFrame, dict[int, Features]]:
    catalog = parts.dataset.catalog("magnetic_tile")
    catalog = catalog[catalog["label"] == 0].reset_index(drop=True)
    config = compose_config(["backbone=filterbank", f"cache_dir={shared_cache}"])
    source = parts.feature_source(config, {})
    return catalog, source.features(list(catalog["path"])).blocks


def flagged(parts: Parts, catalog: pd.DataFrame, blocks: dict[int, Features], seed: int) -> int:
    """Fit and calibrate on a random part of the tiles; return how many of the others it stops."""
    order = np.random.default_rng(seed).permutation(len(catalog))
    split = Split(train=np.sort(order[FRESH:]), validation=np.arange(0), test=order[:FRESH])
    cross = parts.cross_fits(catalog, [split])
    evidence = Vectors(parts, catalog, blocks, split)
    model = evidence.fit(split)
    scores = evidence.score(model, split).scores
    fits = cross_fit(evidence, parts.threshold, cross)
    rule = decision_rule(model, parts.threshold, scores, fits)
    assert rule.calibration is not None
    assert rule.calibration.images == len(split.train)
    fresh = {block: values[split.test] for block, values in blocks.items()}
    decided = rule.decisions(scores.combined, rule.p_values(scores.combined, fresh))
    assert decided is not None
    return int(decided.sum())


def kept(counts: list[int]) -> int:
    """In how many splits the wanted rate lies in the 95 % interval of the share stopped."""
    intervals = [binomtest(count, FRESH).proportion_ci(0.95) for count in counts]
    return sum(interval.low <= WANTED <= interval.high for interval in intervals)


def test_in_95_of_100_random_splits_of_good_tiles_the_rate_is_as_wanted(
    parts: Parts, good_tiles: tuple[pd.DataFrame, dict[int, Features]]
) -> None:
    counts = [flagged(parts, *good_tiles, seed) for seed in range(SPLITS)]
    assert kept(counts) >= 95
    assert np.mean(counts) / FRESH == pytest.approx(WANTED, abs=0.01)
