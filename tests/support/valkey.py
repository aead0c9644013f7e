"""A real Valkey or Redis, as the machine has one or can get one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.debian import program
from tests.support.serving import free_port

__all__ = ["valkey"]


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """The URL of a server of one's own, without files, ended by its process id."""
    program = _program()
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([program, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"valkey://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def _program() -> str:
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    return program("redis-server")
