from __future__ import annotations

import pytest

from gad_bench.base.choices import default_choices
from gad_bench.config import compose_config
from gad_bench.steps.identity import changed_values, run_name, versions

USUAL = {
    **default_choices(),
    "backbone": "resnet-18",
    "covariance": "oas",
    "category": "screw",
    "fold": "3",
}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, "oas · resnet-18 · screw · fold 3"),
        ({"detector": "knn"}, "knn · resnet-18 · screw · fold 3"),
        ({"reduction": "npca"}, "oas · resnet-18 · npca · screw · fold 3"),
        ({"computation": "published"}, "oas · resnet-18 · published computation · screw · fold 3"),
        (
            {"combination": "maximum", "augmentation": "paper", "fold": "cross"},
            "oas · resnet-18 · paper · maximum · screw · fold cross",
        ),
        (
            {"blocks": "best", "normalisation": "l2", "localisation": "padim"},
            "oas · resnet-18 · best blocks · l2 normalisation · padim localisation"
            " · screw · fold 3",
        ),
        (
            {"runtime": "torch", "runtime.precision": "bfloat16", "contamination": "0.1"},
            "oas · resnet-18 · torch runtime · runtime.precision=bfloat16 · contamination=0.1"
            " · screw · fold 3",
        ),
        (
            {"detector": "supervised_linear_probe", "folds": "stratified"},
            "supervised_linear_probe · resnet-18 · screw · stratified fold 3",
        ),
        ({"explanation": "components", "extraction": "ray"}, "oas · resnet-18 · screw · fold 3"),
    ],
)
def test_a_runs_name_tells_what_made_it(changed: dict[str, str], name: str) -> None:
    assert run_name(USUAL | changed) == name


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ([], {}),
        (["blocks=best", "reduction=npca", "contamination=0.0"], {}),
        (["blocks=best", "blocks.indices=[5,6]"], {"blocks.indices": "[5, 6]"}),
        (["reduction=npca", "reduction.threshold=0.9"], {"reduction.threshold": "0.9"}),
        (["contamination=0.1", "seed=3"], {"contamination": "0.1", "seed": "3"}),
        (["largest_contamination=0.2"], {"largest_contamination": "0.2"}),
        (["backbone.input_size=448"], {"backbone.input_size": "448"}),
        (["runtime.precision=bfloat16"], {"runtime.precision": "bfloat16"}),
        (["dataset.train=7", "figures=false", "batch_size=2", "fold.index=3"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_values_that_are_not_their_choices_own_are_told(
    overrides: list[str], changed: dict[str, str]
) -> None:
    config = compose_config(["dataset=demo", *overrides])
    pairs = dict(pair.split("=") for pair in overrides if "." not in pair)
    choices = {key: pairs.get(key, choice) for key, choice in default_choices().items()}
    assert changed_values(config, choices) == changed


def test_the_versions_of_what_makes_the_numbers_are_told() -> None:
    assert {"version.numpy", "version.torch", "version.scipy"} <= versions().keys()
