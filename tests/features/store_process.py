"""Processes that use one store, to be killed: forked from one that has imported everything.

Reads JSON lines: an order starts a process and prints its pid, {"wait": pid} prints its status. A
process appends `pid row` to the tally for every row that it extracts, or `pid hit`, and ends with
0 if what it got was right.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock  # noqa: F401 - imported here, that no fork has to
import numpy as np
import safetensors.numpy  # noqa: F401

from gad_bench.features.shards import Features
from gad_bench.features.store import FeatureStore, Recipe

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.utime", "open")
BATCH = 16


def expected(row: int, block: int) -> list[float]:
    return [row + block / 8] * (block + 1)


def batch_of(rows: Sequence[int], deepest: int) -> tuple[Features, ...]:
    blocks = range(deepest + 1)
    return tuple(np.array([expected(row, b) for row in rows], np.float32) for b in blocks)


def recipe_of(count: int, name: str = "") -> Recipe:
    return Recipe({"name": name}, [f"image {number}" for number in range(count)])


def work(order: dict[str, Any]) -> None:
    tally = os.open(order["tally"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    kill_at_change(order.get("kill_at", -1), order["folder"])

    last_row, seconds = order.get("kill_after", (-1, 0))

    def extract(rows: Sequence[int], deepest: int) -> Iterator[tuple[Features, ...]]:
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            os.write(tally, "".join(f"{os.getpid()} {row}\n" for row in part).encode())
            if last_row in part:
                signal.setitimer(signal.ITIMER_REAL, seconds)  # nothing handles it: as kill -9 does
            time.sleep(order["pause"])
            yield batch_of(part, deepest)

    recipe = recipe_of(order["count"], order.get("name", ""))
    blocks = order.get("blocks", [0, 1])
    found = FeatureStore(Path(order["folder"])).get(recipe, blocks, {}, extract)
    if found.cache_hit:
        os.write(tally, f"{os.getpid()} hit\n".encode())
    for block in blocks:
        whole = [expected(row, block) for row in range(order["count"])]
        np.testing.assert_array_equal(found.blocks[block], np.array(whole, np.float32))


def kill_at_change(number: int, folder: str) -> None:
    """Kill this process with -9 just before its n-th change to the store."""
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if number < 0 or event not in CHANGES or not str(arguments[0]).startswith(folder):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    sys.addaudithook(hook)


def main() -> None:
    logging.basicConfig()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            status = os.waitpid(request["wait"], 0)[1]
            print(os.waitstatus_to_exitcode(status), flush=True)
        elif pid := os.fork():
            print(pid, flush=True)
        else:
            work(request)
            os._exit(0)


if __name__ == "__main__":
    main()
