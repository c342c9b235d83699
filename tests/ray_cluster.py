"""A Ray cluster of two nodes on this machine, each started as on a machine of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tracking_server import free_port

START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]


@contextlib.contextmanager
def ray_cluster(nodes: int, env: dict[str, str]) -> Iterator[str]:
    """Run nodes of one core each until the block ends; give the cluster's address."""
    address = f"127.0.0.1:{free_port()}"
    first = ["--head", f"--port={address.partition(':')[2]}", "--include-dashboard=false"]
    with tempfile.TemporaryDirectory(prefix="ray-") as folder, contextlib.ExitStack() as stack:
        for number in range(nodes):
            place = first if number == 0 else [f"--address={address}"]
            stack.enter_context(_node(Path(folder), number, place, env))
            _wait_for_nodes(address, number + 1, env)
        yield address


@contextlib.contextmanager
def _node(folder: Path, number: int, place: list[str], env: dict[str, str]) -> Iterator[None]:
    """`ray start` in a folder of its own, as a process group of its own."""
    own = folder / str(number)
    own.mkdir()
    options = ["--num-cpus=1", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000"]
    options += [f"--temp-dir={folder}/t"] if number == 0 else []
    with (own / "log").open("w") as log:
        process = subprocess.Popen(
            [*START, *place, *options],
            cwd=own,
            env=env | {"TMPDIR": str(own)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for_nodes(address: str, count: int, env: dict[str, str]) -> None:
    code = (
        "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False);"
        "sys.exit(len([n for n in ray.nodes() if n['Alive']]) < int(sys.argv[2]))"
    )
    for _ in range(60):
        command = [sys.executable, "-c", code, address, str(count)]
        if subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(1)
    raise TimeoutError(f"no Ray cluster of {count} nodes at {address}")
