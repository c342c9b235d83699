"""Figures over resamples, held against drawing the images and measuring them anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from gad_bench.evaluation.detection_rates import best_f1, false_positive_rate, true_positive_rate
from gad_bench.evaluation.intervals import interval, resamples
from gad_bench.evaluation.metrics import auroc, average_precision
from gad_bench.evaluation.resampled import Reached, resampled, resampled_auroc_of_copies


@pytest.mark.parametrize("area", ["steps", "trapezoid"])
def test_each_resamples_figures_are_those_of_its_images(area: str) -> None:
    generator = np.random.default_rng(0)
    labels = generator.permutation([0] * 7 + [1] * 5)
    tied, distinct = generator.integers(0, 6, 12), generator.normal(size=12)

    def figures(end: str) -> object:
        def of(own: Reached) -> dict[str, np.ndarray]:
            return {
                f"auroc{end}": own.auroc(),
                f"aupr{end}": own.average_precision(area),
                f"f1{end}": own.best_f1(),
                f"fpr{end}": own.false_positive_rate(0.8),
                f"fpr_all{end}": own.false_positive_rate(1.0),
                f"tpr{end}": own.true_positive_rate(0.3),
                f"tpr_none{end}": own.true_positive_rate(0.01),
                f"tpr_all{end}": own.true_positive_rate(1.0),
            }

        return of

    asked = [(tied, figures("_tied")), (distinct, figures(""))]
    found = resampled(labels, asked, resamples(labels, seed=5, count=200))
    drawn = np.concatenate(list(resamples(labels, seed=5, count=200)))
    for scores, end in ((tied, "_tied"), (distinct, "")):
        for number, weights in enumerate(drawn):
            own = np.repeat(labels, weights), np.repeat(scores, weights)
            assert (own[0].sum(), len(own[0])) == (5, 12)
            expected = {
                "auroc": auroc(*own),
                "aupr": average_precision(*own, area),
                "f1": best_f1(*own)[0],
                "fpr": false_positive_rate(*own, 0.8),
                "fpr_all": false_positive_rate(*own, 1.0),
                "tpr": true_positive_rate(*own, 0.3),
                "tpr_none": true_positive_rate(*own, 0.01),
                "tpr_all": 1.0,
            }
            ours = {name: found[f"{name}{end}"][number] for name in expected}
            assert ours == pytest.approx(expected, abs=1e-12)
    assert average_precision_score(*own) == pytest.approx(average_precision(*own), abs=1e-12)


def test_an_image_is_drawn_with_all_its_copies() -> None:
    generator = np.random.default_rng(0)
    good = generator.normal(size=9)
    copies = good[:, None] + generator.normal(1.0, 1.0, size=(9, 4))
    found = resampled_auroc_of_copies(good, copies, np.random.default_rng(1), count=4000)
    wins = (copies[:, :, None] > good).mean(axis=1)  # of each image's copies, each good image
    rows = generator.integers(9, size=(4000, 9))
    plain = [wins[np.ix_(own, own)].mean() for own in rows]
    np.testing.assert_allclose(interval(found), interval(plain), atol=0.015)


def test_its_interval_covers_the_true_auroc_about_as_often_as_it_says() -> None:
    generator, covered = np.random.default_rng(0), 0
    true = (29 * norm.cdf(0.5) + 1) / 30  # against 29 images of the variance 2, and its own one
    for seed in range(200):
        image = generator.normal(size=30) * np.sqrt(1.95)
        good, *copies = image + generator.normal(size=(9, 30)) * np.sqrt(0.05)
        drawn = np.random.default_rng(seed)
        areas = resampled_auroc_of_copies(good, np.transpose(copies) + 1, drawn, count=300)
        low, high = interval(areas)
        covered += low <= true <= high
    assert 178 <= covered < 200
