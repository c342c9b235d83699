"""Ctrl-C while something must not be torn."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from gad_bench.base.interrupt import held_interrupts


def test_an_interrupt_that_comes_to_another_thread_waits_until_it_is_held_no_more() -> None:
    waiting = threading.Thread(target=time.sleep, args=(0.3,))
    waiting.start()  # blocks no signal, so that it gets this one
    done = []

    def start_whole() -> None:
        with held_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        start_whole()
    assert done
    waiting.join()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_what_ignores_interrupts_still_does() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
