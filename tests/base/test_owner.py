from __future__ import annotations

import subprocess
import sys

import pytest

from gad_bench.base.owner import is_gone, owner_mark

MARK = "from gad_bench.base.owner import owner_mark; print(owner_mark())"


@pytest.fixture
def mark() -> str:
    here = owner_mark()
    if here is None:
        pytest.skip("no /proc to tell processes apart")
    return here


def changed(mark: str, part: int, value: str) -> str:
    parts = mark.split(" ")
    parts[part] = value
    return " ".join(parts)


def test_a_living_process_is_not_gone(mark: str) -> None:
    assert not is_gone(mark)


@pytest.mark.usefixtures("mark")
def test_a_process_that_ended_is_gone() -> None:
    ended = subprocess.run([sys.executable, "-c", MARK], capture_output=True, text=True, check=True)
    assert is_gone(ended.stdout.strip())


def test_a_process_of_before_the_last_boot_is_gone(mark: str) -> None:
    assert is_gone(changed(mark, 1, "another-boot"))


def test_another_process_of_the_same_number_does_not_count(mark: str) -> None:
    assert is_gone(changed(mark, 4, "1"))


@pytest.mark.parametrize("part", [0, 2], ids=["machine", "container"])
def test_of_a_process_that_runs_elsewhere_nobody_is_sure(mark: str, part: int) -> None:
    ended = changed(mark, 4, "1")
    assert not is_gone(changed(ended, part, "elsewhere"))


@pytest.mark.parametrize("text", ["", "nonsense", "a b c d e f g"])
def test_what_is_no_mark_says_nothing(text: str) -> None:
    assert not is_gone(text)
