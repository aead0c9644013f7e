"""What a key is for: models, operations, addresses, a rate and an end. None is left open.

Pure. A scope only narrows what the account's user may do; it never adds to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from vallum.identity.errors import KeyRefused
from vallum.identity.network import Network, networks_of
from vallum.kernel import Operation, covered

__all__ = ["Scope", "latest_end"]

_MODEL: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*(?:\.\*)?")


@dataclass(frozen=True, slots=True)
class Scope:
    """Models (`sale.order`, or `sale.*` for all below), operations, networks (none: anywhere), a rate.

    `rate`: requests a minute; None: that of the server.
    """

    models: tuple[str, ...]
    operations: frozenset[Operation]
    addresses: tuple[Network, ...] = ()
    rate: int | None = None

    @classmethod
    def parse(
        cls,
        models: Sequence[str],
        operations: Iterable[str],
        addresses: Sequence[str] = (),
        rate: int | None = None,
    ) -> Self:
        """A scope as written.

        Raises: KeyRefused.
        """
        if not models:
            raise KeyRefused("a key without models would reach everything", fix="name its models")
        for model in models:
            if not _MODEL.fullmatch(model):
                raise KeyRefused(
                    f"`{model}` names no models",
                    fix="write `sale.order`, or `sale.*` for all whose name begins so",
                )
        try:
            wanted = frozenset(Operation(name) for name in operations)
            networks = networks_of(tuple(addresses))
        except ValueError as error:
            raise KeyRefused(
                f"this scope cannot be read: {error}",
                fix="operations are read, write, create and unlink; addresses are like 192.0.2.0/24",
            ) from None
        if not wanted:
            raise KeyRefused("a key without operations is of no use", fix="give `read`, or others")
        if rate is not None and not 1 <= rate <= 100_000:
            raise KeyRefused("a rate is between 1 and 100,000 requests a minute")
        return cls(tuple(dict.fromkeys(models)), wanted, networks, rate)

    def covers(self, model: str, operation: Operation) -> bool:
        """Whether a key with this scope may be used for that.

        >>> Scope.parse(["sale.*"], ["read"]).covers("sale.order", Operation.READ)
        True
        """
        return operation in self.operations and covered(model, self.models)


def latest_end(now: datetime, days: int, most: int) -> datetime:
    """The end of a key that is to last so many days.

    Raises: KeyRefused.
    """
    if not 1 <= days <= most:
        raise KeyRefused(
            f"a key lasts between 1 and {most} days, not {days}", fix=f"give {most} days at most"
        )
    return now + timedelta(days=days)
