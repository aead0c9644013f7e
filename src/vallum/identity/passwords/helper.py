"""A process that does nothing but hash, so that whoever asked for it can be shared by others meanwhile.

Started by `engine` as a script: it imports nothing of Vallum. One request a line on its input, one answer a
line on its output, which names the request's number; in JSON, bytes in base64. It ends with its input. What
it is given are passwords under a pepper (and, of imported hashes, passwords), from a pipe that nobody else
has; it keeps and writes nothing.

It lets every other process go first: a thread that did so would hold the interpreter's lock while it waits.
That takes three things of Linux. A low priority counts among the processes of one session only, where the
kernel shares the cores among sessions first (autogroup): so a helper has a session of its own, of that
priority. And whoever has been let in keeps the core until the next tick, 4 ms, even where someone else has
become ready meanwhile: so a helper yields each millisecond.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Final

NICE: Final = 10
YIELD_EVERY: Final = 0.001
"""Seconds: a quarter of a tick."""
_AUTOGROUP: Final = Path("/proc/self/autogroup")


def perform(request: dict[str, Any]) -> Any:
    """The answer to a request: a hash, whether one matches, or a derived key."""
    # Here, so that a helper has stepped back before it loads what it hashes with.
    from argon2 import PasswordHasher, Type
    from argon2.exceptions import InvalidHashError, VerificationError

    secret = b64decode(request["secret"])
    if request["act"] == "derive":
        made = hashlib.pbkdf2_hmac("sha512", secret, b64decode(request["salt"]), request["rounds"])
        return b64encode(made).decode()
    argon2 = PasswordHasher(**request["cost"], hash_len=32, salt_len=16, type=Type.ID)
    if request["act"] == "hash":
        return argon2.hash(secret)
    try:
        return argon2.verify(request["kept"], secret)
    except (VerificationError, InvalidHashError):
        return False


class Courtesy:
    """How a helper lets others go first."""

    def __init__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        with contextlib.suppress(AttributeError, OSError):
            os.setsid()
        self._session_told = not _AUTOGROUP.exists()
        self._yields = sys.platform == "linux" and self._yield_at_alarm()

    def begin(self) -> None:
        """Before a hash."""
        if not self._session_told:
            self._tell_session()
        if self._yields:
            signal.setitimer(signal.ITIMER_REAL, YIELD_EVERY, YIELD_EVERY)

    def end(self) -> None:
        """After a hash."""
        if self._yields:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _tell_session(self) -> None:
        """Refused (EAGAIN) where anyone on the machine did so a tenth of a second ago: then next time."""
        try:
            _AUTOGROUP.write_text(str(NICE))
        except BlockingIOError:
            return
        except OSError:
            pass
        self._session_told = True

    @staticmethod
    def _yield_at_alarm() -> bool:
        """A handler of Python's would run after the hash only: the C library's own function is the handler.

        It takes no arguments and may be called at any moment (it is a system call and nothing else); what
        was interrupted goes on. False: this Python cannot name functions of the C library.
        """
        try:
            import ctypes
        except ImportError:
            return False
        library = ctypes.CDLL(None)
        library.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        library.signal.restype = ctypes.c_void_p
        library.signal(signal.SIGALRM, ctypes.cast(library.sched_yield, ctypes.c_void_p))
        return True


def main() -> None:
    """Until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    courtesy = Courtesy()
    for line in sys.stdin.buffer:
        courtesy.begin()
        request = json.loads(line)
        answer = [request["number"], perform(request)]
        courtesy.end()
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
