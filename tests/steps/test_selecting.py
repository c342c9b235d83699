"""Good images held out against copies of them with painted defects, in whole runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gad_bench.data.images import read_image

TINY = (
    *("experiment=demo", "dataset.train=12", "dataset.test_good=4", "dataset.test_defective=1"),
    *("backbone.input_size=64", "backbone.octaves=3", "tracking=none", "maps.keep=[0,1,2,3]"),
)
NAMES = {"auroc_synthetic", "auroc_synthetic_cut_paste", "auroc_synthetic_noise"}


@pytest.mark.parametrize(
    "ways", [["fold=cross", "fold.n_splits=3"], ["detector=patch_gaussian", "figures=false"]]
)
def test_a_run_tells_painted_copies_from_good_images(program: Any, ways: list[str]) -> None:
    outcome = program(*TINY, "selection=synthetic", *ways)
    assert outcome.status == 0, outcome.errors
    found = {name: outcome.metrics[name] for name in NAMES}
    assert all(0.4 < value <= 1 for value in found.values())
    for name, value in found.items():
        low, high = (outcome.metrics[f"{name}_ci_{end}"] for end in ("low", "high"))
        assert low <= value <= high
    recipes = [found["auroc_synthetic_cut_paste"], found["auroc_synthetic_noise"]]
    assert found["auroc_synthetic"] == pytest.approx(np.mean(recipes))
    if "figures=false" not in ways:
        height, width, _ = read_image(outcome.runs[-1] / "synthetic.png").shape
        assert height > 600
        assert width > 1000


def test_without_it_the_numbers_are_as_they_were(program: Any) -> None:
    plain = program(*TINY, "figures=false").metrics
    chosen = program(*TINY, "figures=false", "selection=synthetic").metrics
    assert not NAMES & plain.keys()
    times = {"seconds_fit", "seconds_extract", "cache_hit", "images_per_second"}
    alike = plain.keys() - times
    assert {name: plain[name] for name in alike} == {name: chosen[name] for name in alike}


def test_a_fold_that_holds_nothing_out_is_refused(program: Any) -> None:
    outcome = program(*TINY, "selection=synthetic", "fold=full")
    assert outcome.status == 2
    assert "this fold holds none out: use fold=kfold or fold=cross" in outcome.errors
