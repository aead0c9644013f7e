"""Run the benchmarks and print their table: `python -m bench [--quick] [--out FILE] [NAME …]`."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from pathlib import Path

from bench.table import Row, markdown

NAMES = (
    "decisions",
    "query",
    "odoo",
    "growth",
    "roles",
    "session",
    "console",
    "values",
    "serve",
    "identity",
    "audit",
)


def main() -> int:
    """Exit with 1 where a figure that is asked for is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="smaller data, fewer rounds")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.names:
        print(f"… {name}", file=sys.stderr)
        rows.extend(importlib.import_module(f"bench.{name}").run(quick=arguments.quick))
    report = f"{_machine()}\n\n{markdown(rows)}\n"
    print(report)
    if arguments.out:
        arguments.out.write_text(report, encoding="utf-8")
    return int(any(row.ok is False for row in rows))


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, PostgreSQL 18 (embedded)"
    )


if __name__ == "__main__":
    sys.exit(main())
