"""Object stores that speak S3 and check signatures, started for a test and ended by their process ids."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.support.environment import environment
from tests.support.node import node_program

__all__ = ["Store", "moto_store", "plain_store"]

HERE: Final = Path(__file__).parent
BUCKET: Final = "audit"


@dataclass(frozen=True, slots=True)
class Store:
    """A store: the address of its bucket, its region, and the credentials of its one user."""

    url: str
    region: str
    key: str
    secret: str

    def credentials(self, folder: Path, secret: str | None = None) -> Path:
        """A file with them, readable by its owner alone; with another secret where one is given."""
        path = folder / "s3.credentials"
        path.touch(0o600)
        path.write_text(
            f"[default]\naws_access_key_id = {self.key}\naws_secret_access_key = {secret or self.secret}\n"
        )
        return path


@contextmanager
def moto_store(folder: Path) -> Iterator[Store]:
    """With conditions and locks. Its signatures are checked by AWS's library."""
    python = environment("moto", HERE / "moto-requirements.txt")
    with (
        (folder / "moto.log").open("w") as errors,
        subprocess.Popen(
            [str(python), str(HERE / "moto_store.py"), BUCKET],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            yield Store(f"{said['url']}/{BUCKET}", "eu-central-1", said["key"], said["secret"])
        finally:
            process.terminate()


@contextmanager
def plain_store(folder: Path, conditions: str) -> Iterator[Store]:
    """Without conditions (`refused`, `ignored`) and locks. It checks signatures by npm's aws4."""
    store = Store("", "eu-central-1", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    given = {"region": store.region, "key": store.key, "secret": store.secret, "conditions": conditions}
    with node_program("s3.mjs", given, folder / "s3.log") as program:
        yield replace(store, url=f"{program.said['url']}/{BUCKET}")
