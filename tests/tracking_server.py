"""An MLflow server with accounts on PostgreSQL, both on loopback, as docs/cluster.md sets it up."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

USER, PASSWORD, DATABASE_PASSWORD = "inspector", "seldom-guessed-1", "seldom-guessed-2"


@dataclass(frozen=True)
class Server:
    """A tracking server that runs."""

    uri: str

    @property
    def credentials(self) -> dict[str, str]:
        """The environment by which MLflow's clients log in."""
        return {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}


def missing() -> str | None:
    """What a tracking server needs and this machine lacks."""
    if _postgresql() is None:
        return "no PostgreSQL: apt-get install postgresql"
    lacking = [name for name in ("psycopg2", "flask_wtf") if not find_spec(name)]
    return f"no {', '.join(lacking)}: pip install 'gad-bench[test-cluster]'" if lacking else None


@contextlib.contextmanager
def tracking_server(folder: Path) -> Iterator[Server]:
    """Run the server until the block ends."""
    port = free_port()
    with _database() as database:
        accounts = folder / "accounts.ini"
        accounts.write_text(
            "[mlflow]\ndefault_permission = EDIT\n"
            f"database_uri = {database}/accounts\n"
            f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
        )
        environment = os.environ | {
            "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the tests",
            "MLFLOW_BACKEND_STORE_URI": f"{database}/mlflow",
        }
        command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
        command += ["--workers=2", "--app-name=basic-auth"]
        command += [f"--artifacts-destination={folder / 'artifacts'}"]
        with (folder / "server.log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                _wait_for(f"http://127.0.0.1:{port}/health", process)
                yield Server(f"http://127.0.0.1:{port}")
            finally:
                process.terminate()
                process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _database() -> Iterator[str]:
    """Run PostgreSQL, with a password, until the block ends; give its address without a name."""
    folder = Path(tempfile.mkdtemp(prefix="gad_bench-postgresql-"))
    secret, data, port = folder / "password", folder / "data", free_port()
    secret.write_text(DATABASE_PASSWORD)
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        for path in (folder, secret):
            shutil.chown(path, "postgres", "postgres")
    options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -p {port}"
    try:
        _run("initdb", "-D", data, "-A", "scram-sha-256", "-U", "mlflow", f"--pwfile={secret}")
        _run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            for name in ("mlflow", "accounts"):
                _run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", name)
            yield f"postgresql+psycopg2://mlflow:{DATABASE_PASSWORD}@127.0.0.1:{port}"
        finally:
            _run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _postgresql() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _run(program: str, *arguments: str | Path) -> None:
    folder = _postgresql()
    assert folder
    as_user: Sequence[str] = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*as_user, str(folder / program), *map(str, arguments)]
    environment = os.environ | {"PGPASSWORD": DATABASE_PASSWORD}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd="/")


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the MLflow server ended: see server.log"
        with contextlib.suppress(OSError), urllib.request.urlopen(address):
            return
        time.sleep(1)
    raise TimeoutError(address)
