"""A process that does nothing but hash, so that whoever asked for it can be shared by others meanwhile.

Started by `engine` as a script: it imports nothing of Vallum. One request a line on its input, one answer a
line on its output, in JSON, bytes in base64; it ends with its input. What it is given are passwords under a
pepper (and, of imported hashes, passwords), from a pipe that nobody else has; it keeps and writes nothing.
It lets every other process go first: a thread that did so would hold the interpreter's lock while it waits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from base64 import b64decode, b64encode
from typing import Any, Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

NICE: Final = 10


def perform(request: dict[str, Any]) -> Any:
    """The answer to a request: a hash, whether one matches, or a derived key."""
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


def main() -> None:
    """Until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(perform(json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
