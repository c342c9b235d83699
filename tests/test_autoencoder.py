"""A run whose detector is an autoencoder."""

from __future__ import annotations

import numpy as np
import pytest
from program import Program
from sklearn.metrics import roc_auc_score

from gad_bench.config import compose_config
from gad_bench.data.defect_sizes import defect_share, smallest_defect
from gad_bench.steps.parts import Parts

pytest.importorskip("lightning", reason="the extra train is not installed")

IMAGES = [
    *("dataset=demo", "category=wood", "dataset.train=10"),
    *("dataset.test_good=5", "dataset.test_defective=2"),
]
TINY = [
    *(*IMAGES, "detector=autoencoder", "backbone.pretrained=false", "backbone.input_size=32"),
    *("detector.epochs=1", "detector.batch_size=8", "device=cpu", "tracking=none"),
]


def test_an_autoencoder_is_one_more_detector_of_the_harness(program: Program) -> None:
    outcome = program(*TINY, "detector.score=weak", "threshold.fpr=0.4")
    assert outcome.status == 0, outcome.errors
    weak, metrics = outcome.scores, outcome.metrics
    assert metrics["auroc"] == pytest.approx(roc_auc_score(weak["label"], weak["score"]))
    assert {"pixel_auroc", "aupro", "fpr_conformal", "epochs", "best_epoch"} <= metrics.keys()
    assert "supervised" not in metrics
    pictures = {path.name for path in outcome.runs[-1].glob("*.png")}
    assert {"reconstructions.png", "training.png", "localisation.png", "curves.png"} <= pictures

    full = program(*TINY, "figures=false")
    assert full.metrics["cache_hit"] is True
    assert full.metrics["pixel_auroc"] == metrics["pixel_auroc"]
    assert (full.scores["score"] < weak["score"]).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["fold=full"], "this fold holds none out: use fold=kfold"),
        (["backbone=resnet-50"], "mirrors ResNet-18 or -34"),
    ],
)
def test_what_does_not_go_with_it_is_refused_in_one_line(
    program: Program, overrides: list[str], message: str
) -> None:
    outcome = program(*TINY, *overrides)
    assert outcome.status == 2
    assert message in outcome.errors
    assert len(outcome.errors.strip().splitlines()) == 1


def test_the_smallest_defect_is_the_data_sets_fact_or_that_of_the_masks() -> None:
    parts = Parts.build(compose_config(IMAGES))
    catalog = parts.dataset.catalog("wood")
    found = smallest_defect(catalog)
    assert found is not None
    assert defect_share(parts.dataset.facts("wood"), catalog) == found.share
    known = Parts.build(compose_config([*IMAGES, "dataset.shared.smallest_defect=77"]))
    share = defect_share(known.dataset.facts("wood"), catalog)
    assert share is not None
    np.testing.assert_allclose(share * found.pixels / found.share, 77)
