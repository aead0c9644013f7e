"""Talk to a directory: encrypted, certificates checked, referrals not followed, answers in pages.

The shell of this package. python-ldap is an extra (`vallum[ldap]`), since it is compiled against libldap.
Invariant: no bind, not even the service account's, before the connection is encrypted and the certificate
checked.
Invariant: an empty password is never sent: a directory takes it for "nobody in particular", and says yes.
Invariant: what people type reaches filters and names only escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from vallum.identity.ldap.entry import Entry, attributes_for, is_called, names_of
from vallum.identity.sso.errors import ProviderMisconfigured, ProviderUnavailable, cleaned
from vallum.identity.sso.providers import LdapProvider

__all__ = ["Directory", "normal_dn"]

_IN_CHAIN: Final = "1.2.840.113556.1.4.1941"
_MOST_GROUPS: Final = 10_000
_RANGE: Final = 1500
_PAGED: Final = "1.2.840.113556.1.4.319"


def _library() -> Any:
    try:
        import ldap
        import ldap.controls
        import ldap.dn
        import ldap.filter
    except ImportError as error:
        raise ProviderMisconfigured(
            "directories need python-ldap, which is not installed",
            fix="install `vallum[ldap]`; on Debian that needs libldap2-dev, libsasl2-dev and a C compiler",
        ) from error
    return ldap


def normal_dn(dn: str) -> str:
    """A distinguished name as it is compared: without regard to case and spaces, as directories do.

    Raises: ProviderMisconfigured (it is none).
    """
    ldap = _library()
    try:
        parts = ldap.dn.str2dn(dn)
    except ldap.DECODING_ERROR as error:
        raise ProviderMisconfigured("this is no distinguished name", where=dn[:200]) from error
    folded = [
        sorted((name.lower(), " ".join(value.split()).casefold(), kind) for name, value, kind in part)
        for part in parts
    ]
    return str(ldap.dn.dn2str(folded))


class Directory:
    """A directory; each call has a connection of its own. `secret`: the service account's password."""

    def __init__(self, provider: LdapProvider, secret: str | None) -> None:
        self.provider = provider
        self._secret = secret
        self._ldap = _library()

    def __repr__(self) -> str:
        return f"Directory({self.provider.id!r})"

    def users(self) -> Iterator[Entry]:
        """Everybody the user filter matches. Raises: ProviderUnavailable, ProviderMisconfigured."""
        provider = self.provider
        with self._bound() as connection:
            yield from self._pages(connection, provider.base, self._user_filter(), attributes_for(provider))

    def members(self) -> dict[str, list[str]]:
        """All groups with their direct members, as normal names. Raises: as `users`."""
        provider = self.provider
        base = provider.group_base or provider.base
        found: dict[str, list[str]] = {}
        with self._bound() as connection:
            for entry in self._pages(connection, base, self._group_filter(), self._member_attributes()):
                names = self._member_names(connection, entry)
                found[normal_dn(entry.dn)] = [normal_dn(name) for name in names]
        return found

    def find(self, login: str) -> Entry | None:
        """Somebody by login. Raises: as `users`."""
        provider = self.provider
        name = self._ldap.filter.escape_filter_chars(login)
        wanted = f"(&{self._user_filter()}({names_of(provider).login}={name}))"
        with self._bound() as connection:
            found = list(self._pages(connection, provider.base, wanted, attributes_for(provider)))
            if len(found) != 1 or not is_called(found[0], login, provider):
                return None
            return found[0]

    def groups_of(self, dn: str) -> frozenset[str]:
        """The groups an entry is in, directly or not, as normal names. Raises: as `users`."""
        with self._bound() as connection:
            return self._groups_of(connection, dn)

    def verify(self, dn: str | None, password: str) -> bool:
        """Whether that is the password of that entry. None: nobody's, and as slow as a wrong one.

        Raises: as `users`.
        """
        if not password or "\0" in password:
            return False
        if dn is None:
            dn = f"cn=nobody-{self._ldap.dn.escape_dn_chars(self.provider.id)},{self.provider.base}"
        with self._failures(), self._connected() as connection:
            try:
                connection.simple_bind_s(dn, password)
            except (self._ldap.INVALID_CREDENTIALS, self._ldap.NO_SUCH_OBJECT, self._ldap.INAPPROPRIATE_AUTH):
                return False
            except self._ldap.INVALID_DN_SYNTAX:
                return False
            # "Yes" to somebody else, or to nobody, is no yes.
            return bool(connection.whoami_s()) if self._knows_whoami else True

    @property
    def _knows_whoami(self) -> bool:
        # Some releases of Samba do not; an empty password cannot come this far in any case.
        return self.provider.flavour == "generic"

    @contextmanager
    def _bound(self) -> Iterator[Any]:
        with self._failures(), self._connected() as connection:
            if self.provider.bind_dn is not None:
                if not self._secret:
                    raise ProviderMisconfigured("the service account has no password", where=self.provider.id)
                connection.simple_bind_s(self.provider.bind_dn, self._secret)
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        ldap, provider = self._ldap, self.provider
        connection = ldap.initialize(provider.url, bytes_mode=False)
        try:
            options: list[tuple[int, Any]] = [
                (ldap.OPT_PROTOCOL_VERSION, 3),
                (ldap.OPT_REFERRALS, 0),
                (ldap.OPT_NETWORK_TIMEOUT, float(provider.timeout)),
                (ldap.OPT_TIMEOUT, float(provider.timeout)),
                (ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND),
                (ldap.OPT_X_TLS_PROTOCOL_MIN, ldap.OPT_X_TLS_PROTOCOL_TLS1_2),
            ]
            if provider.ca_file is not None:
                options.append((ldap.OPT_X_TLS_CACERTFILE, provider.ca_file))
            # The last one makes the ones before it count.
            for option, value in [*options, (ldap.OPT_X_TLS_NEWCTX, 0)]:
                connection.set_option(option, value)
            if provider.url.startswith("ldap://"):
                connection.start_tls_s()
            yield connection
        finally:
            connection.unbind_ext_s()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        ldap, where = self._ldap, self.provider.id
        try:
            yield
        except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT, ldap.BUSY, ldap.UNAVAILABLE) as error:
            raise ProviderUnavailable(
                "the directory cannot be reached",
                where=where,
                fix="check that it runs, its name and its certificate: `vallum sso check`",
                said=_said(error),
            ) from error
        except (ldap.INVALID_CREDENTIALS, ldap.INSUFFICIENT_ACCESS, ldap.INAPPROPRIATE_AUTH) as error:
            raise ProviderMisconfigured(
                "the directory does not let the service account do this",
                where=where,
                fix="compare `bind_dn` and `secret`; the password may have expired",
            ) from error
        except ldap.LDAPError as error:
            raise ProviderMisconfigured("the directory refused", where=where, said=_said(error)) from error

    def _pages(self, connection: Any, base: str, wanted: str, attributes: list[str]) -> Iterator[Entry]:
        ldap = self._ldap
        control = ldap.controls.SimplePagedResultsControl(True, size=self.provider.page, cookie="")
        while True:
            number = connection.search_ext(
                base, ldap.SCOPE_SUBTREE, wanted, attributes, serverctrls=[control]
            )
            _, rows, _, controls = connection.result3(number, timeout=self.provider.timeout)
            for dn, values in rows:
                if dn is not None:
                    yield Entry(dn, {name.lower(): tuple(found) for name, found in values.items()})
            cookies = [one.cookie for one in controls if one.controlType == _PAGED]
            if not cookies or not cookies[0]:
                return
            control.cookie = cookies[0]

    def _member_attributes(self) -> list[str]:
        # Active Directory gives 1,500 values at a time; asked for by its range, every server says how far it
        # has come.
        if self.provider.flavour == "active-directory":
            return [f"member;range=0-{_RANGE - 1}"]
        return ["member", "uniqueMember"]

    def _member_names(self, connection: Any, entry: Entry) -> list[str]:
        """All members; Active Directory gives many of them in ranges."""
        found = [*entry.attributes.get("member", ()), *entry.attributes.get("uniquemember", ())]
        ranged = next((name for name in entry.attributes if name.startswith("member;range=")), None)
        while ranged is not None:
            part = entry.attributes[ranged]
            found.extend(part)
            end = ranged.rpartition("-")[2]
            if end == "*" or not part:
                break
            rows = connection.search_s(
                entry.dn,
                self._ldap.SCOPE_BASE,
                "(objectClass=*)",
                [f"member;range={int(end) + 1}-{int(end) + _RANGE}"],
            )
            entry = Entry(entry.dn, {name.lower(): tuple(values) for name, values in rows[0][1].items()})
            ranged = next((name for name in entry.attributes if name.startswith("member;range=")), None)
        return [name.decode() for name in found]

    def _groups_of(self, connection: Any, dn: str) -> frozenset[str]:
        provider = self.provider
        base = provider.group_base or provider.base
        escape = self._ldap.filter.escape_filter_chars
        if provider.flavour == "active-directory":
            wanted = f"(&{self._group_filter()}(member:{_IN_CHAIN}:={escape(dn)}))"
            return frozenset(normal_dn(e.dn) for e in self._pages(connection, base, wanted, ["cn"]))
        found: dict[str, str] = {}
        open_ = [dn]
        while open_:
            name = escape(open_.pop())
            wanted = f"(&{self._group_filter()}(|(member={name})(uniqueMember={name})))"
            for entry in self._pages(connection, base, wanted, ["cn"]):
                normal = normal_dn(entry.dn)
                if normal not in found:
                    found[normal] = entry.dn
                    open_.append(entry.dn)
            if len(found) > _MOST_GROUPS:
                raise ProviderMisconfigured("somebody is in too many groups", where=provider.id)
        return frozenset(found)

    def _user_filter(self) -> str:
        if self.provider.user_filter is not None:
            return self.provider.user_filter
        if self.provider.flavour == "active-directory":
            # People, not computers and trusts, which are users to Active Directory as well.
            return "(&(objectCategory=person)(objectClass=user))"
        return "(objectClass=inetOrgPerson)"

    def _group_filter(self) -> str:
        if self.provider.group_filter is not None:
            return self.provider.group_filter
        if self.provider.flavour == "active-directory":
            return "(objectClass=group)"
        return "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))"


def _said(error: Exception) -> str:
    """What libldap says: a description and sometimes a detail of TLS, never what was sent."""
    detail = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    parts = [str(detail[key]) for key in ("desc", "info") if detail.get(key)]
    return cleaned(*parts) or type(error).__name__
