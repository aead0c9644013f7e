"""Hand out the script that writes `registry.json.gz` inside Odoo.

The script is part of the package as data: nothing here runs it, and it imports nothing of Vallum.
How to use it: docs/how-to/export-registry.md
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from vallum.kernel import SettingsError

__all__ = ["SCRIPT_NAME", "write_script"]

SCRIPT_NAME: Final = "export_registry.py"


def write_script(target: Path, *, force: bool = False) -> Path:
    """Write the export script to `target` (a file, or a directory to put it in) and return its path.

    Raises: SettingsError when the file exists (unless `force`) or cannot be written.
    """
    path = target / SCRIPT_NAME if target.is_dir() else target
    script = files(__name__).joinpath("registry_script.py").read_bytes()
    try:
        with path.open("wb" if force else "xb") as out:
            out.write(script)
    except FileExistsError:
        raise SettingsError(
            "the file exists already", where=str(path), fix="name another one, or force it to be overwritten"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"the script cannot be written: {error.strerror}",
            where=str(path),
            fix="name a writable directory",
        ) from error
    return path
