"""Many processes, and processes that are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gad_bench.features.shards import LAYOUT, is_intact

KILLS = 50
COUNT = 300  # five shards of 64
PAUSE = 0.001  # seconds a batch
KILLED = -signal.SIGKILL


@dataclass
class Processes:
    """Starts processes on a store and tells what they extracted."""

    launcher: subprocess.Popen[str]
    folder: Path

    @property
    def tally(self) -> Path:
        return self.folder / "tally"

    def sub_folder(self, name: str) -> Processes:
        (self.folder / name).mkdir()
        return Processes(self.launcher, self.folder / name)

    def start(self, **order: object) -> int:
        defaults = {"folder": str(self.folder), "tally": str(self.tally), "count": COUNT}
        return self._ask(defaults | {"pause": 0.0} | order)

    def wait(self, pid: int) -> int:
        return self._ask({"wait": pid})

    def extracted(self) -> list[tuple[int, int]]:
        """The pid and the row of each extraction."""
        return [(pid, int(row)) for pid, row in self._told() if row != "hit"]

    def hits(self) -> list[int]:
        """The pids of those for whom nothing was left to extract."""
        return [pid for pid, row in self._told() if row == "hit"]

    def _told(self) -> list[tuple[int, str]]:
        lines = self.tally.read_text().splitlines() if self.tally.exists() else []
        return [(int(pid), row) for pid, row in map(str.split, lines)]

    def shards(self) -> dict[str, int]:
        """The finished shards and when each was written."""
        found = self.folder.glob(f"{LAYOUT}/*/*/shard-*")
        return {str(path): path.stat().st_mtime_ns for path in found}

    def _ask(self, request: dict[str, object]) -> int:
        assert self.launcher.stdin is not None
        assert self.launcher.stdout is not None
        self.launcher.stdin.write(json.dumps(request) + "\n")
        self.launcher.stdin.flush()
        return int(self.launcher.stdout.readline())


@pytest.fixture(scope="module")
def launcher() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("store_process.py")
    process = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.communicate()


@pytest.fixture
def processes(launcher: subprocess.Popen[str], tmp_path: Path) -> Processes:
    return Processes(launcher, tmp_path)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def finish_and_check(processes: Processes, shards: dict[str, int]) -> None:
    """Let a process finish the work: it must keep the shards and extract the rest, once."""
    assert all(is_intact(Path(path)) for path in shards)
    processes.tally.unlink(missing_ok=True)
    assert processes.wait(processes.start()) == 0
    rows = [row for _, row in processes.extracted()]
    kept = {int(Path(path).name.split("-")[1]) for path in shards}
    assert rows == [row for row in range(COUNT) if row // 64 not in kept]
    assert shards.items() <= processes.shards().items()
    assert not list(processes.folder.glob(f"{LAYOUT}/*/*/.tmp-*"))


def test_an_extraction_killed_at_any_of_50_random_moments_goes_on_where_it_stopped(
    processes: Processes,
) -> None:
    """Seeded: after an extracted row and a time, so that the kills spread on a slow machine too."""
    moments = random.Random(0)
    survivors = []
    for kill in range(KILLS):
        attempt = processes.sub_folder(str(kill))
        moment = [moments.randrange(COUNT), moments.uniform(PAUSE / 10, 4 * PAUSE)]
        attempt.wait(attempt.start(pause=PAUSE, kill_after=moment))
        survivors.append(len(attempt.shards()))
        finish_and_check(attempt, attempt.shards())
    assert len(set(survivors)) >= 4, "the kills did not spread over the extraction"


def test_an_extraction_killed_before_any_change_to_the_store_goes_on_where_it_stopped(
    processes: Processes,
) -> None:
    """Every creation, rename, removal: the moments that a random kill may miss."""
    for change in range(200):
        attempt = processes.sub_folder(str(change))
        status = attempt.wait(attempt.start(kill_at=change))
        if status == 0:
            break
        assert status == KILLED
        finish_and_check(attempt, attempt.shards())
    assert 15 < change < 199


def test_an_extraction_killed_again_and_again_ends(processes: Processes) -> None:
    """Every process dies at its fifteenth change, some shard further than the one before."""
    statuses = []
    while 0 not in statuses and len(statuses) < 20:
        statuses.append(processes.wait(processes.start(kill_at=14)))
    assert statuses[-1] == 0
    assert len(statuses) > 2


def test_eight_processes_do_one_extraction_between_them(processes: Processes) -> None:
    pids = [processes.start(pause=0.01) for _ in range(8)]
    assert [processes.wait(pid) for pid in pids] == [0] * 8
    extracted = processes.extracted()
    assert [row for _, row in extracted] == list(range(COUNT))
    assert len({pid for pid, _ in extracted}) == 1
    assert {*processes.hits()} == {*pids} - {extracted[0][0]}


def test_another_process_takes_over_from_a_killed_holder(processes: Processes) -> None:
    pids = [processes.start(pause=0.01) for _ in range(4)]
    until(lambda: bool(processes.shards()))
    holder = processes.extracted()[0][0]
    os.kill(holder, signal.SIGKILL)
    assert sorted(processes.wait(pid) for pid in pids) == [KILLED, 0, 0, 0]
    extracted = processes.extracted()
    assert len({pid for pid, _ in extracted}) == 2
    times = Counter(row for _, row in extracted)
    assert set(times) == set(range(COUNT))
    assert times[0] == 1, "the finished shard was extracted again"
    assert sum(times.values()) <= COUNT + 64 + 16


def test_different_features_do_not_wait_for_each_other(processes: Processes) -> None:
    slow = processes.start(name="one", pause=30)
    until(lambda: bool(processes.extracted()))
    assert processes.wait(processes.start(name="other")) == 0
    os.kill(slow, signal.SIGKILL)
    assert processes.wait(slow) == KILLED


def test_shallow_blocks_wait_for_a_deeper_extraction_under_way(processes: Processes) -> None:
    deep = processes.start(blocks=[0, 3], pause=0.01)
    until(lambda: bool(processes.extracted()))
    assert processes.wait(processes.start(blocks=[1])) == 0
    assert processes.wait(deep) == 0
    assert {pid for pid, _ in processes.extracted()} == {deep}


def test_deeper_blocks_do_not_wait_for_a_shallow_extraction(processes: Processes) -> None:
    shallow = processes.start(blocks=[0], pause=30)
    until(lambda: bool(processes.extracted()))
    assert processes.wait(processes.start(blocks=[3])) == 0
    os.kill(shallow, signal.SIGKILL)
    assert processes.wait(shallow) == KILLED


def test_two_processes_repair_one_damaged_shard_once(processes: Processes) -> None:
    assert processes.wait(processes.start()) == 0
    damaged = Path(sorted(processes.shards())[2])
    damaged.write_bytes(damaged.read_bytes()[:-1])
    processes.tally.unlink()
    pids = [processes.start(pause=0.01) for _ in range(4)]
    assert [processes.wait(pid) for pid in pids] == [0] * 4
    assert [row for _, row in processes.extracted()] == list(range(128, 192))
