from __future__ import annotations

from typing import Any

import pytest

from gad_bench.report.frame import (
    Run,
    Status,
    factor,
    flatten,
    higher_is_better,
    long_frame,
    one_run_each,
    same_value,
)


def kept(*runs: Run) -> tuple[list[Run], int]:
    """The runs that are kept, and how many repeat a finished one."""
    frame, repeated = one_run_each(long_frame(runs))
    return [runs[number] for number in frame["run"].unique()], repeated


def test_of_a_repeated_job_the_newest_finished_run_counts(run_of: Any) -> None:
    old = run_of("bolt", 0, 0.8, ended=1)
    new = run_of("bolt", 0, 0.9, ended=2)
    assert kept(new, old) == ([new], 1)


def test_a_finished_run_counts_before_a_newer_one_that_failed(run_of: Any) -> None:
    finished = run_of("bolt", 0, 0.8, ended=1)
    failed = run_of("bolt", 0, status=Status.FAILED, ended=2)
    assert kept(finished, failed) == ([finished], 0)


def test_a_failed_run_counts_before_one_that_never_was(run_of: Any) -> None:
    failed, missing = run_of("bolt", 0, status=Status.FAILED), run_of("bolt", 0)
    assert kept(missing, failed) == ([failed], 0)


@pytest.mark.parametrize(
    "key", ["cache_dir", "device", "tracking__uri", "experiment", "variant", "figures"]
)
def test_what_leaves_the_numbers_as_they_are_makes_no_other_job(run_of: Any, key: str) -> None:
    assert run_of("bolt", **{key: "a"}).job == run_of("bolt", **{key: "b"}).job


@pytest.mark.parametrize("key", ["covariance", "reduction__threshold", "dataset__root", "seed"])
def test_what_changes_the_numbers_makes_another_job(run_of: Any, key: str) -> None:
    one, other = run_of("bolt", **{key: "a"}), run_of("bolt", **{key: "b"})
    assert one.job != other.job
    assert one.setting != other.setting


def test_category_and_fold_make_another_job_of_the_same_setting(run_of: Any) -> None:
    one = run_of("bolt", 0, fold__index="0", dataset__categories__bolt="x")
    other = run_of("nut", 1, fold__index="1", dataset__categories__nut="y")
    assert one.job != other.job
    assert one.setting == other.setting


def test_a_nested_config_is_flattened_to_text() -> None:
    nested = {"a": {"b": 1, "c": [0.5, None]}, "d": {}, "e": True}
    assert dict(flatten(nested)) == {"a.b": "1", "a.c": "[0.5, None]", "d": "{}", "e": "True"}


def test_values_are_compared_as_numbers_where_both_are() -> None:
    assert same_value("0", "0.0")
    assert same_value("none", "none")
    assert not same_value("0.99", "0.999")
    assert not same_value("none", "0")


@pytest.mark.parametrize(
    "name",
    [
        *("auroc_synthetic", "image_f1", "pixel_auroc", "pixel_ap", "pixel_f1", "aupro_0.05"),
        *("seg_f1", "spro", "aupimo", "tpr_at_fpr_1", "attribution_pixel_auroc"),
        "attribution_inside",
    ],
)
def test_a_share_that_should_be_high_is_one_and_is_printed_in_percent(name: str) -> None:
    assert (factor(name), higher_is_better(name)) == (100, True)


@pytest.mark.parametrize(
    ("name", "by"),
    [
        *(("fpr_at_tpr_95", 100), ("pixel_f1_threshold", 1), ("seg_f1_threshold", 1)),
        *(("image_f1_threshold", 1), ("cost_latency_ms", 1), ("attribution_gap", 1)),
    ],
)
def test_rates_of_false_alarms_thresholds_and_costs_should_not_be_high(name: str, by: int) -> None:
    assert (factor(name), higher_is_better(name)) == (by, False)
