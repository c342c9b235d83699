"""An MLflow server with accounts on PostgreSQL, on loopback, as docs/cluster/ sets it up."""

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import yaml

COMPOSE = Path(__file__).parent.parent / "docs" / "cluster" / "compose.yaml"
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
    """Run the compose file's own command, on loopback, until the block ends."""
    port = free_port()
    with _database() as database:
        places = {
            "0.0.0.0": "127.0.0.1",
            "--port=5000": f"--port={port}",
            "@database/": f"@{database}/",
            "/artifacts": str(folder / "artifacts"),
            "${SERVER_NAMES:-localhost:*,127.0.0.1:*}": "127.0.0.1:*",
        }
        accounts = folder / "accounts.ini"
        accounts.write_text(_replace(places, (COMPOSE.parent / "accounts.ini").read_text()))
        environment = os.environ | {
            "PGPASSWORD": DATABASE_PASSWORD,
            "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the tests",
        }
        service = yaml.safe_load(COMPOSE.read_text())["services"]["mlflow"]
        assert environment.keys() >= service["environment"].keys()
        command = [_replace(places, word) for word in service["command"]]
        with (folder / "server.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], env=environment, stdout=log, stderr=log
            )
            try:
                _wait_for(f"http://127.0.0.1:{port}/health", process)
                yield Server(f"http://127.0.0.1:{port}")
            finally:
                process.terminate()
                process.wait(60)


def _replace(places: Mapping[str, str], text: str) -> str:
    for place, here in places.items():
        text = text.replace(place, here)
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _database() -> Iterator[str]:
    """Run PostgreSQL, with a password, until the block ends; give its host and port."""
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
            _run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "mlflow")
            yield f"127.0.0.1:{port}"
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
