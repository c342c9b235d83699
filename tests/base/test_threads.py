from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from threadpoolctl import threadpool_info, threadpool_limits

from gad_bench.base.process import config_folder, one_thread, thread_count
from gad_bench.config import build, register
from gad_bench.data.split import Full, split_catalog
from gad_bench.steps.scoring import fit, score
from gad_bench.steps.training import Training


@pytest.mark.parametrize(("value", "threads"), [("1", 1), ("3", 3), ("4,2", 4)])
def test_a_launcher_gives_the_threads_by_omp_num_threads(
    value: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert thread_count() == threads


@pytest.mark.parametrize("value", ["", "0", "many"])
def test_without_it_there_are_as_many_as_cores(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert thread_count() == 1


def test_linear_algebra_keeps_to_one_thread_until_the_last_one_is_out() -> None:
    """The main thread's limit holds outside, and faiss's BLAS goes by each thread's OpenMP."""
    import faiss  # noqa: F401

    def threads_of_blas() -> set[int]:
        return {own["num_threads"] for own in threadpool_info() if own["user_api"] == "blas"}

    def stay(inside: Event, leave: Event) -> set[int]:
        with one_thread():
            inside.set()
            assert leave.wait(60)
            return threads_of_blas()

    first, second = (Event(), Event()), (Event(), Event())
    with threadpool_limits(2, user_api="blas"), ThreadPoolExecutor(2) as threads:
        stays = [threads.submit(stay, *events) for events in (first, second)]
        assert first[0].wait(60)
        assert second[0].wait(60)
        first[1].set()
        assert stays[0].result() == {1}
        second[1].set()
        assert stays[1].result() == {1}
        assert threads_of_blas() == {2}


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "oas", "empirical", "diagonal"])
def test_scores_do_not_depend_on_the_number_of_threads(covariance: str) -> None:
    images = 500
    table = pd.DataFrame(
        {"path": "", "split": "train", "label": 0, "defect": "good"}, range(images)
    )
    table.loc[400:, "split"] = "test"
    (split,) = split_catalog(table, Full(), 0.0, seed=0)
    blocks = {0: np.random.default_rng(0).standard_normal((images, 310)).astype(np.float32)}
    training = Training(blocks, images=np.arange(images), fitted=split.train)
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", [f"covariance={covariance}"])
    parts = build(config.detector), build(config.combination)

    def score_on(threads: int) -> np.ndarray:
        with threadpool_limits(threads):
            return score(table, blocks, fit(training, split, *parts), split).combined

    np.testing.assert_array_equal(score_on(1), score_on(2))
