"""Who holds what outlives a process: a mark that tells later whether its process still lives."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

PROC = Path("/proc")


def owner_mark() -> str | None:
    """Return a text that names this process among all machines' and all times'.

    It holds the host's name and identity, the boot, the namespace of process numbers, the number
    and when the process started. None where there is no /proc to tell.
    """
    place, started = _place(), _started(os.getpid())
    return " ".join([*place, str(os.getpid()), started]) if place and started else None


def is_gone(mark: str) -> bool:
    """Tell whether the process of a mark has surely ended.

    Of a process on another machine, or in another container, nobody here can be sure.
    """
    here, parts = _place(), mark.split(" ")
    if not here or len(parts) != len(here) + 2:
        return False
    host, boot, namespace, number, started = parts
    if host != here[0]:
        return False
    if boot != here[1]:
        return True
    return namespace == here[2] and number.isdecimal() and _started(int(number)) != started


@cache
def _place() -> tuple[str, str, str] | None:
    """Return the host, its boot and the namespace in which processes are numbered."""
    try:
        identity = Path("/etc/machine-id")
        told = identity.read_text(encoding="ascii").strip() if identity.is_file() else ""
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str((PROC / "self/ns/pid").readlink())
    except OSError:
        return None
    return f"{socket.gethostname()}/{told}", boot, namespace


def _started(number: int) -> str | None:
    """Return when a process started, in clock ticks since the boot; None where there is none."""
    try:
        stat = (PROC / str(number) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]
