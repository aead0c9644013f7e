"""The context of a call: what of it counts, and whose eyes it asks for.

Pure. A context chooses a language, a time zone, active companies among the user's own, and how much
is shown. It never widens what the user may see: a key Vallum does not know has no effect, `sudo`,
`uid`, `su` and the like among them.
Invariant: active companies are the user's, or the call is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from vallum.kernel import InvalidValue

__all__ = ["Context"]

_LANG: Final = re.compile(r"[a-z]{2,3}(?:_[A-Z0-9]{2,3})?(?:@[a-z]+)?")
_MAX_COMPANIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Context:
    """What a context says. `companies`: the active ones, the first is the current; None: not said."""

    lang: str | None = None
    tz: str | None = None
    companies: tuple[int, ...] | None = None
    active_test: bool = True
    bin_size: bool = False
    prefix: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, raw: Any) -> Context:
        """The context of a call as it was given; None and False are the empty one.

        Raises: InvalidValue.
        """
        if raw is None or raw is False or raw == {}:
            return _EMPTY
        if not isinstance(raw, dict):
            raise InvalidValue(f"the context is {raw!r:.60}", fix="give an object of keys and values")
        return cls(
            lang=_lang(raw.get("lang")),
            tz=_tz(raw.get("tz")),
            companies=_companies(raw),
            active_test=bool(raw.get("active_test", True)),
            bin_size=bool(raw.get("bin_size", False)),
            prefix=tuple(
                (key.removeprefix("default_"), value)
                for key, value in raw.items()
                if isinstance(key, str) and key.startswith("default_")
            ),
        )

    @property
    def defaults(self) -> dict[str, Any]:
        """Values that `default_…` keys give to fields of new records."""
        return dict(self.prefix)


_EMPTY: Final = Context()


def _lang(value: Any) -> str | None:
    if value is None or value is False:
        return None
    if not isinstance(value, str) or not _LANG.fullmatch(value):
        raise InvalidValue(f"{value!r:.40} is no language", fix="write it as `en_US`")
    return value


def _tz(value: Any) -> str | None:
    """A time zone there is none of counts as UTC, as in Odoo."""
    return value if isinstance(value, str) and len(value) < 64 else None


def _companies(raw: dict[Any, Any]) -> tuple[int, ...] | None:
    value = raw.get("allowed_company_ids")
    if value is None or value is False or value == []:
        return None
    if (
        not isinstance(value, list | tuple)
        or len(value) > _MAX_COMPANIES
        or not all(type(item) is int for item in value)
    ):
        raise InvalidValue(f"`allowed_company_ids` is {value!r:.60}", fix="give a list of ids")
    return tuple(dict.fromkeys(value))
