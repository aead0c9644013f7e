"""Real directories: OpenLDAP's slapd and Samba as an Active Directory, each at a loopback address of its own.

Installed where they are missing (as root, on Debian), started for a test run, ended by their process id.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificate, authority, signed_by
from tests.support.debian import install, program
from tests.support.server import alone

__all__ = ["ActiveDirectory", "RealDirectory", "active_directory", "python_ldap", "slapd"]

CACHE = Path(__file__).parents[2] / ".cache" / "ldap"
REQUIREMENTS = Path(__file__).parent / "ldap-requirements.txt"
_BUILD = ("libldap2-dev", "libsasl2-dev", "gcc", "libc6-dev")
_SAMBA = ("samba-ad-dc", "samba-ad-provision", "samba-dsdb-modules", "samba-vfs-modules", "winbind")


def python_ldap() -> Any:
    """The extra `vallum[ldap]`, compiled into a folder of its own; skips the test where it cannot be had."""
    folder = CACHE / f"python-{sys.version_info.major}.{sys.version_info.minor}"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock"):
        if not (folder / ".done").exists():
            if not Path("/usr/include/ldap.h").exists() or not shutil.which("gcc"):
                install(*_BUILD)
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            done = subprocess.run(
                [*command, "--require-hashes", "--target", str(folder), "-r", str(REQUIREMENTS)],
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"python-ldap cannot be installed: {done.stderr[-300:]}")
            (folder / ".done").touch()
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    import ldap

    return ldap


def _address() -> str:
    """An address of the loopback network that nobody else has: well-known ports are free there."""
    return f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"  # noqa: S311


@dataclass
class RealDirectory:
    """A directory that runs. `dn`, `password`: of the account that may change everything."""

    address: str
    base: str
    dn: str
    password: str
    ca_file: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"ldaps://{self.address}"

    def connection(self) -> Any:
        """As the account that may change everything."""
        ldap = python_ldap()
        connection = ldap.initialize(self.url)
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self.ca_file))
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        connection.set_option(ldap.OPT_REFERRALS, 0)
        connection.simple_bind_s(self.dn, self.password)
        return connection

    @contextmanager
    def changing(self) -> Iterator[Any]:
        """A connection for a few changes."""
        connection = self.connection()
        try:
            yield connection
        finally:
            connection.unbind_s()

    def add(self, connection: Any, rdn: str, kinds: list[str], **attributes: Any) -> str:
        """Add an entry below the base; its name."""
        dn = f"{rdn},{self.base}"
        connection.add_s(
            dn,
            [
                ("objectClass", [kind.encode() for kind in kinds]),
                *((name, _values(value)) for name, value in attributes.items()),
            ],
        )
        return dn


def _values(value: Any) -> list[bytes]:
    values = value if isinstance(value, list) else [value]
    return [one if isinstance(one, bytes) else str(one).encode() for one in values]


class ActiveDirectory(RealDirectory):
    """With what is Microsoft's own."""

    def add_user(self, connection: Any, name: str, password: str) -> str:
        """Somebody who can sign in."""
        dn = self.add(
            connection,
            f"CN={name}",
            ["user"],
            sAMAccountName=name,
            displayName=name.title(),
            mail=f"{name}@example.com",
            userAccountControl=514,
        )
        ldap = python_ldap()
        quoted = f'"{password}"'.encode("utf-16-le")
        connection.modify_s(dn, [(ldap.MOD_REPLACE, "unicodePwd", [quoted])])
        self.switch(connection, dn, on=True)
        return dn

    def switch(self, connection: Any, dn: str, *, on: bool) -> None:
        """Set or clear the bit that says: disabled."""
        value = b"512" if on else b"514"
        connection.modify_s(dn, [(python_ldap().MOD_REPLACE, "userAccountControl", [value])])


def _certificate(folder: Path, address: str) -> tuple[Path, Path, Path]:
    ca: Certificate = authority()
    ca_file, _ = ca.write(folder, "ca")
    certificate, key = signed_by(ca, "directory.example", address).write(folder, "server")
    key.chmod(0o600)
    return ca_file, certificate, key


@contextmanager
def slapd(folder: Path) -> Iterator[RealDirectory]:
    """OpenLDAP; it says yes to a name with an empty password, as many directories do."""
    server = program("slapd", "slapd", "ldap-utils")
    python_ldap()
    address, base = _address(), "dc=example,dc=com"
    ca_file, certificate, key = _certificate(folder, address)
    data = folder / "data"
    data.mkdir()
    configuration = folder / "slapd.conf"
    configuration.write_text(
        f"""
        include /etc/ldap/schema/core.schema
        include /etc/ldap/schema/cosine.schema
        include /etc/ldap/schema/inetorgperson.schema
        modulepath /usr/lib/ldap
        moduleload back_mdb
        allow bind_anon_cred bind_anon_dn
        TLSCACertificateFile {ca_file}
        TLSCertificateFile {certificate}
        TLSCertificateKeyFile {key}
        sizelimit size.soft=5 size.hard=5 size.prtotal=unlimited
        database mdb
        maxsize 33554432
        suffix {base}
        rootdn cn=admin,{base}
        rootpw admin-secret
        directory {data}
        index entryUUID eq
        """.replace("\n        ", "\n")
    )
    process = subprocess.Popen(
        [server, "-d", "0", "-f", str(configuration), "-h", f"ldaps://{address} ldap://{address}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    directory = RealDirectory(address, base, f"cn=admin,{base}", "admin-secret", ca_file, process)
    yield from _running(directory)


@contextmanager
def active_directory(folder: Path) -> Iterator[ActiveDirectory]:
    """Samba as the controller of a domain of its own; of its services, only LDAP."""
    tool = program("samba-tool", *_SAMBA)
    server = program("samba", *_SAMBA)
    if not Path("/usr/share/samba/setup/ad-schema").is_dir():
        install(*_SAMBA)
    python_ldap()
    address, password = _address(), "Passw0rd!Admin"
    ca_file, certificate, key = _certificate(folder, address)
    options = {
        "interfaces": f"{address}/8",
        "bind interfaces only": "yes",
        "server services": "ldap",
        "tls cafile": str(ca_file),
        "tls certfile": str(certificate),
        "tls keyfile": str(key),
        "log file": str(folder / "samba.log"),
        "pid directory": str(folder),
        "ncalrpc dir": str(folder / "ncalrpc"),
        # A directory that is thrown away need not be on the disk.
        "ldb:nosync": "true",
    }
    home = folder / "ad"
    given = [f"--option={name}={value}" for name, value in options.items()]
    subprocess.run(
        [
            *(tool, "domain", "provision", "--realm=AD.EXAMPLE.COM", "--domain=AD", "--server-role=dc"),
            *(f"--adminpass={password}", f"--targetdir={home}", "--dns-backend=NONE"),
            *(f"--host-ip={address}", *given),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=300,
        check=True,
    )
    process = subprocess.Popen(
        [
            server,
            "-s",
            str(home / "etc" / "smb.conf"),
            "--foreground",
            "--no-process-group",
            "--model=single",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    name = "administrator@ad.example.com"
    directory = ActiveDirectory(address, "DC=ad,DC=example,DC=com", name, password, ca_file, process)
    yield from _running(directory)


def _running(directory: Any) -> Iterator[Any]:
    ldap = python_ldap()
    try:
        for _ in range(200):
            try:
                directory.connection().unbind_s()
                break
            except ldap.SERVER_DOWN:
                if directory.process.poll() is not None:
                    raise RuntimeError("the directory has ended") from None
                time.sleep(0.1)
        yield directory
    finally:
        directory.process.terminate()
        directory.process.wait(timeout=20)
