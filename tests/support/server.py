"""One PostgreSQL server for a whole test run, shared by all its workers.

The process that runs pytest makes the folder and removes it at the end; each worker that needs
the server starts it or joins it, and whoever leaves last stops it (see `vallum.postgres.embedded`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vallum.postgres import EmbeddedServer

__all__ = ["RunFolder", "alone", "run_folder"]

KEY = "vallum_folder"


class RunFolder:
    """The plugin that gives a run its folder, below the system's folder for temporary files."""

    def __init__(self) -> None:
        # Not pytest's own temporary folder: the server's system user may not enter that one.
        self.path = Path(tempfile.mkdtemp(prefix="vallum-test-"))
        self.path.chmod(0o711)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        """Tell a worker of pytest-xdist which folder its run has."""
        node.workerinput[KEY] = str(self.path)  # type: ignore[attr-defined]  # xdist's WorkerController

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Stop a server that a worker's crash has left behind, and remove everything."""
        folder = self.path / "server"
        if folder.exists():
            # Whoever starts it is a user of it, and here also the last one.
            server = EmbeddedServer(folder, durable=False)
            if (server.data / "postmaster.pid").exists():
                server.start()
                server.stop()
        shutil.rmtree(self.path)


def run_folder(config: pytest.Config) -> Path:
    """The folder of this run, in whichever of its processes."""
    workerinput = getattr(config, "workerinput", None)
    if workerinput is not None:
        return Path(workerinput[KEY])
    plugin = config.pluginmanager.get_plugin(KEY)
    if not isinstance(plugin, RunFolder):
        raise TypeError("tests/conftest.py registers no RunFolder")
    return plugin.path


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One worker at a time."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
