"""The command line: commands, and the only place that knows exit codes.

0: done, allowed, equal. 1: refused, or different, or something found. 2: wrong use, or an error; nothing
was decided.
"""

from vallum.cli.app import assembled, main

__all__ = ["assembled", "main"]
