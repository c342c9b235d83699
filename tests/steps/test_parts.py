"""Jobs of a sweep share the parts that they have in common, and no others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gad_bench.config import compose_config
from gad_bench.data.split import KFold
from gad_bench.steps.parts import Parts


@dataclass(frozen=True, kw_only=True)
class OwnFold(KFold):
    """A class that is not gad_bench's."""


def parts(*overrides: str) -> Parts:
    return Parts.build(compose_config(["experiment=demo", *overrides]))


def test_a_job_shares_what_the_one_before_had_by_the_same_values() -> None:
    first, second = parts("covariance=identity"), parts("covariance=diagonal")
    assert second.backbone is first.backbone
    assert second.detector is not first.detector
    assert second.detector.covariance != first.detector.covariance


@pytest.mark.parametrize("value", ["fold.n_splits=4", "fold.seed=7"])
def test_a_part_of_other_values_is_another(value: str) -> None:
    assert parts(value).fold != parts().fold


def test_a_part_of_the_users_own_class_is_built_for_each_job() -> None:
    own = f"fold._target_={__name__}.OwnFold"
    first, second = parts(own).fold, parts(own).fold
    assert isinstance(second, OwnFold)
    assert second is not first
