"""A run that is killed, interrupted or out of disk leaves nothing that stops the next one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cluster import SWEEP, environment, run_program
from recorded import recorded_runs, store_in

from gad_bench.deploy.format import read_folder

LONG = bool(os.environ.get("GAD_BENCH_TEST_LONG"))
KILLS, INTERRUPTS, FULL_DISKS = (20, 20, 13) if LONG else (3, 2, 2)
RUN = SWEEP[1:]
OPEN = """
import resource, sys
from gad_bench.base.command import run_told
from gad_bench.base.interrupt import heed_interrupts, ignore_interrupts
from gad_bench.tracking import MLflow

def open_store():
    if sys.argv[1:]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
    return 0 if MLflow(uri="sqlite:///mlflow.db", experiment="test").viewer else 1

import gad_bench.tracking.mlflow_store, mlflow.store.tracking.sqlalchemy_store
heed_interrupts()
status = run_told(open_store)
ignore_interrupts()
sys.exit(status)
"""


def start(command: Sequence[str], folder: Path, cache: Path, **pipes: int) -> subprocess.Popen[str]:
    """A process of its own in a folder, with this checkout's code and a cache."""
    return subprocess.Popen(command, cwd=folder, env=environment(cache), text=True, **pipes)


def opening(folder: Path, *limit: str) -> subprocess.Popen[str]:
    """A process that opens the store of a folder, and makes it where there is none."""
    command = [sys.executable, "-c", OPEN, *limit]
    return start(command, folder, folder, stderr=subprocess.PIPE)


def assert_it_opens(folder: Path) -> None:
    process = opening(folder)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def stop_while_it_is_made(folder: Path, number: signal.Signals, seed: int) -> int:
    """Stop a process somewhere in the first two seconds of its making a store."""
    process = opening(folder)
    while not (folder / "mlflow.db.lock").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 2))
    process.send_signal(number)
    process.communicate()
    return process.returncode


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_store_whose_making_was_killed_is_made_anew(seed: int, tmp_path: Path) -> None:
    stop_while_it_is_made(tmp_path, signal.SIGKILL, seed)
    assert_it_opens(tmp_path)


@pytest.mark.parametrize("seed", range(INTERRUPTS))
def test_a_store_whose_making_was_interrupted_is_made_anew(seed: int, tmp_path: Path) -> None:
    assert stop_while_it_is_made(tmp_path, signal.SIGINT, 100 + seed) in (130, 0)
    assert_it_opens(tmp_path)


@pytest.mark.parametrize("part", range(FULL_DISKS))
def test_a_full_disk_is_told_in_one_line_and_leaves_no_half_of_a_store(
    part: int, tmp_path: Path
) -> None:
    limit = 500_000 * part // FULL_DISKS
    process = opening(tmp_path, str(limit))
    errors = process.communicate()[1]
    assert process.returncode == 2, errors
    (line,) = errors.splitlines()
    assert "mlflow.db cannot be used (" in line
    assert_it_opens(tmp_path)


SWALLOWING = '''
"""A combination during which Ctrl-C comes, where Python or a library makes something else of it."""
import os, signal
from dataclasses import dataclass
from gad_bench.gaussian.combination import Mean

class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

@dataclass(frozen=True, kw_only=True)
class Swallowing(Mean):
    place: str

    def combine(self, evidence):
        if self.place == "destructor":
            Closing()
        else:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except BaseException:
                if self.place == "conversion":
                    raise RuntimeError("conversion failed")
        return super().combine(evidence)
'''


@pytest.mark.parametrize("place", ["destructor", "conversion", "nowhere"])
@pytest.mark.parametrize("several", [[], ["-m", "fold.index=0,1"]], ids=["run", "sweep"])
def test_an_interrupt_that_a_library_swallows_ends_the_program_with_130(
    place: str, several: list[str], tmp_path: Path, shared_cache: Path
) -> None:
    choices = tmp_path / "choices"
    (choices / "combination").mkdir(parents=True)
    (choices / "swallowing.py").write_text(SWALLOWING)
    (choices / "combination" / "swallowing.yaml").write_text(
        f"_target_: swallowing.Swallowing\nplace: {place}\n"
    )
    env = environment(shared_cache)
    env["PYTHONPATH"] += os.pathsep + str(choices)
    wanted = [f"--config-dir={choices}", *several, *RUN, "combination=swallowing", "tracking=none"]
    outcome = run_program(tmp_path / "work", env, *wanted)
    assert outcome.status == 130, outcome.errors
    assert "interrupted: the same command goes on" in outcome.errors
    assert "Traceback" not in outcome.errors
    assert len(list(outcome.folder.rglob(".hydra"))) == 1
    assert not list(outcome.folder.rglob("failure.json"))


def test_a_run_that_was_killed_is_ended_by_the_next(tmp_path: Path) -> None:
    program = (
        "import os; from gad_bench.tracking import MLflow, Description\n"
        "tracker = MLflow(uri='sqlite:///mlflow.db', experiment='test')\n"
        "with tracker.run(Description(name='run', params={}, tags={})):\n"
        "    print('began', flush=True); input()"
    )
    command = [sys.executable, "-c", program]
    held, killed = (
        start(command, tmp_path, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    )
    for process in (held, killed):
        assert process.stdout is not None
        process.stdout.readline()
    killed.kill()
    killed.wait()
    assert_it_opens(tmp_path)
    runs = recorded_runs(store_in(tmp_path), "test")
    assert sorted(run.info.status for run in runs) == ["KILLED", "RUNNING"]
    (dead,) = [run for run in runs if run.info.status == "KILLED"]
    assert dead.data.tags["error"] == "its process ended before it did"
    held.communicate("\n")
    runs = recorded_runs(store_in(tmp_path), "test")
    assert sorted(run.info.status for run in runs) == ["FINISHED", "KILLED"]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from gad_bench.__main__ import main
main()
"""


@pytest.mark.parametrize("limit", [3000, 20_000])
def test_a_full_disk_under_the_runs_own_folder_is_told_in_one_line(
    limit: int, tmp_path: Path, shared_cache: Path
) -> None:
    env = environment(shared_cache)
    wanted = [*RUN[:-1], "tracking=none"]
    assert run_program(tmp_path / "first", env, *wanted, "figures=false").status == 0
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *wanted],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
    named = "the run's own folder" if limit == 3000 else "/curves.png"
    assert named in line
    assert line.endswith(": File too large")


def test_two_runs_that_save_to_one_folder_at_once_end_with_one_detector(
    tmp_path: Path, shared_cache: Path
) -> None:
    command = [sys.executable, "-m", "gad_bench", *RUN, "tracking=none", "fold=full", "save=d"]
    processes = [
        start(command, tmp_path, shared_cache, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    errors = "".join(process.communicate()[1] for process in processes)
    refused = sum(process.returncode == 2 for process in processes)  # 0: the first was quick
    assert sorted(process.returncode for process in processes) in ([0, 0], [0, 2])
    assert [line for line in errors.splitlines() if line.startswith("error: ")] == [
        "error: save=d exists already: name a new folder, or remove that one"
    ] * refused
    assert read_folder(tmp_path / "d")
    assert not list(tmp_path.glob(".tmp-*"))
