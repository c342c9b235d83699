from __future__ import annotations

import pytest

from gad_bench.steps.identity import run_name, versions

USUAL = {
    "category": "screw",
    "backbone": "resnet-18",
    "covariance": "oas",
    "detector": "gaussian",
    "reduction": "none",
    "combination": "mean",
    "augmentation": "none",
    "computation": "sound",
    "fold": "3",
}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, "screw · resnet-18 · oas · fold 3"),
        ({"detector": "knn"}, "screw · resnet-18 · knn · fold 3"),
        ({"computation": "published"}, "screw · resnet-18 · oas · published · fold 3"),
        ({"reduction": "npca"}, "screw · resnet-18 · oas · npca · fold 3"),
        (
            {"combination": "maximum", "augmentation": "paper", "fold": "cross"},
            "screw · resnet-18 · oas · maximum · paper · fold cross",
        ),
    ],
)
def test_a_runs_name_tells_what_made_it(changed: dict[str, str], name: str) -> None:
    assert run_name(USUAL | changed) == name


def test_the_versions_of_what_makes_the_numbers_are_told() -> None:
    assert {"version.numpy", "version.torch", "version.scipy"} <= versions().keys()
