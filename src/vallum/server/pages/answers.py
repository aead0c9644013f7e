"""What a page's handler is asked, and what it answers.

Pure: values, no web framework. `mount` turns requests into a `Visit` and answers into responses, so that
a handler is a function from one to the other and can be called by a test.
Invariant: an address in an answer is a path of this server; `local` refuses every other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from vallum.kernel import InvalidValue, VallumError

if TYPE_CHECKING:
    from vallum.server.pages.viewer import Viewer

__all__ = [
    "Answer",
    "Download",
    "NotFound",
    "NotYours",
    "Page",
    "Query",
    "Redirect",
    "Site",
    "Stale",
    "Stream",
    "Visit",
    "local",
]

Site = TypeVar("Site")


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


class NotFound(VallumError):
    """No page, or nothing of that name."""

    code = "not-found"


class NotYours(VallumError):
    """The page is for others. Said like a refusal of the policy: what, and who may open it."""

    code = "access-denied"


class Stale(VallumError):
    """A form that was made for another session, or for a state that is gone."""

    code = "stale-form"


class Query(Mapping[str, str]):
    """The part of an address behind `?`: names may repeat. Immutable.

    >>> q = Query.parse("model=res.partner&op=read&op=write")
    >>> q["model"], q.all("op")
    ('res.partner', ('read', 'write'))
    >>> str(q.but(op=None, record=7))
    'model=res.partner&record=7'
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)

    @classmethod
    def parse(cls, text: str) -> Query:
        """The pairs of an address; too many are refused.

        Raises: InvalidValue.
        """
        try:
            return cls(parse_qsl(text, keep_blank_values=True, max_num_fields=500, errors="replace"))
        except ValueError:
            raise InvalidValue("the address has too many parts behind `?`") from None

    def __getitem__(self, name: str) -> str:
        for key, value in self._pairs:
            if key == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key for key, _ in self._pairs))

    def __len__(self) -> int:
        return len(dict.fromkeys(key for key, _ in self._pairs))

    def __str__(self) -> str:
        # `~` as well: not everybody who sends people on takes it for harmless.
        return urlencode(self._pairs, quote_via=quote).replace("~", "%7E")

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a name."""
        return tuple(value for key, value in self._pairs if key == name)

    def text(self, name: str, default: str = "") -> str:
        """The value without blanks around it; the default where it is missing or empty."""
        return self.get(name, "").replace("\x00", "").strip() or default

    def number(self, name: str, default: int = 0, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """A whole number within bounds.

        Raises: InvalidValue.
        """
        given = self.text(name)
        if not given:
            return default
        if not (given.isascii() and given.isdigit() and len(given) < 19):
            raise InvalidValue(f"`{name}` is {given!r:.40}", fix="give a whole number")
        return max(least, min(most, int(given)))

    def but(self, **changes: object) -> Query:
        """The same with some values replaced; None leaves one out, a sequence repeats the name."""
        pairs = [(k, v) for k, v in self._pairs if k not in changes]
        for name, value in changes.items():
            if value is None or value == "":
                continue
            many = value if isinstance(value, list | tuple) else (value,)
            pairs.extend((name, str(item)) for item in many)
        return Query(pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit(Generic[Site]):
    """One request for a page. `site`: what the handlers work on; `partial`: only a part is wanted (htmx).

    `form` is empty unless the method is POST, and its CSRF token has been checked.
    """

    site: Site
    viewer: Viewer
    path: str
    query: Query
    form: Query = field(default_factory=Query)
    parts: Mapping[str, str] = field(default_factory=_nothing)
    cookies: Mapping[str, str] = field(default_factory=_nothing)
    post: bool = False
    partial: bool = False
    target: str = ""

    @property
    def address(self) -> str:
        """The page's own address, with all its state."""
        return f"{self.path}?{self.query}" if len(self.query) else self.path

    def kept(self, name: str) -> list[str]:
        """A choice the browser has kept for this viewer, such as the columns of a list."""
        return [part for part in self.cookies.get(name, "").split("|") if part]

    def here(self, **changes: object) -> str:
        """This page with some of its state changed."""
        query = self.query.but(**changes)
        return f"{self.path}?{query}" if len(query) else self.path


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered template. `part`: the template for a request that wants only a part of the page."""

    template: str
    values: Mapping[str, Any] = field(default_factory=_nothing)
    part: str | None = None
    status: int = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Redirect:
    """See another page of this server."""

    to: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file. `name` None: shown rather than saved."""

    content: bytes
    media_type: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Server-sent events, as they come: (event, data) pairs."""

    events: Callable[[], Iterator[tuple[str, Mapping[str, Any]]]]


Answer: TypeAlias = Page | Redirect | Download | Stream


def local(address: str, default: str = "/") -> str:
    """The address where it is a path of this server, else the default.

    >>> local("/data/res.partner?page=2"), local("https://elsewhere/"), local("//elsewhere"), local("/\\\\x")
    ('/data/res.partner?page=2', '/', '/', '/')
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return default
    plain = not parts.scheme and not parts.netloc and parts.path.startswith("/")
    odd = any(c in address for c in "\\\r\n\t") or address.startswith("//")
    return address if plain and not odd else default


def chosen(value: str, among: Sequence[str], default: str) -> str:
    """The value where it is one of the choices, else the default."""
    return value if value in among else default
