"""A process beside this one does what it is asked, and nothing waits for it until it must."""

from __future__ import annotations

import operator
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gad_bench.base.companion import Companion, CompanionEndedError, portable


@pytest.fixture(scope="module")
def companion() -> Iterator[Companion]:
    started = Companion(["json"])
    yield started
    os.kill(started.ask(os.getpid).result(), signal.SIGKILL)


def test_it_is_another_process_in_this_ones_folder_and_environment(
    companion: Companion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAD_BENCH_TOLD", "yes")
    assert companion.ask(os.getpid).result() != os.getpid()
    assert companion.ask(os.getcwd).result() == str(tmp_path)
    assert companion.ask(os.getenv, "GAD_BENCH_TOLD").result() == "yes"


def test_answers_may_be_read_in_any_order(companion: Companion) -> None:
    asked = [companion.ask(operator.mul, number, 2) for number in range(5)]
    assert [answer.result() for answer in reversed(asked)] == [8, 6, 4, 2, 0]
    assert asked[0].result() == 0


def test_asking_does_not_wait(companion: Companion) -> None:
    before = time.perf_counter()
    slow = companion.ask(time.sleep, 0.3)
    assert time.perf_counter() - before < 0.3
    slow.result()
    assert time.perf_counter() - before >= 0.3


def test_what_is_raised_there_is_raised_by_the_answer_alone(companion: Companion) -> None:
    wrong, right = companion.ask(operator.truediv, 1, 0), companion.ask(operator.truediv, 1, 2)
    assert right.result() == 0.5
    with pytest.raises(ZeroDivisionError):
        wrong.result()


def test_a_result_that_cannot_be_sent_is_an_error(companion: Companion) -> None:
    with pytest.raises((TypeError, pickle.PicklingError)):
        companion.ask(threading.Lock).result()
    assert companion.ask(operator.neg, 1).result() == -1


def test_an_error_that_cannot_be_sent_is_told_by_name_and_message() -> None:
    class LocalError(Exception):
        pass

    assert str(portable(LocalError("so"))) == "LocalError: so"
    assert isinstance(portable(ValueError("so")), ValueError)


def test_an_interrupt_is_not_its_own(companion: Companion) -> None:
    os.kill(companion.ask(os.getpid).result(), signal.SIGINT)
    assert companion.ask(operator.neg, 1).result() == -1


def test_an_interrupt_while_it_is_asked_or_answers_mixes_up_no_answers(
    companion: Companion, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, receive = companion._connection.send, companion._connection.recv

    def interrupted(whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object) -> Any:
            found = whole(*arguments)
            os.kill(os.getpid(), signal.SIGINT)
            return found

        return call

    monkeypatch.setattr(companion._connection, "send", interrupted(send))
    with pytest.raises(KeyboardInterrupt):
        companion.ask(operator.neg, 1)
    monkeypatch.setattr(companion._connection, "send", send)
    answer = companion.ask(operator.neg, 2)
    monkeypatch.setattr(companion._connection, "recv", interrupted(receive))
    with pytest.raises(KeyboardInterrupt):
        answer.result()
    monkeypatch.setattr(companion._connection, "recv", receive)
    assert answer.result() == -2
    assert companion.ask(operator.neg, 3).result() == -3


def test_its_end_is_noticed() -> None:
    ending = Companion([])
    pending = ending.ask(os._exit, 1)
    with pytest.raises(CompanionEndedError):
        pending.result()
    assert not ending.is_alive
    with pytest.raises(CompanionEndedError):
        ending.ask(os.getpid)
