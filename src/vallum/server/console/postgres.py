"""PostgreSQL roles: what is applied, what would change, what was changed by hand, and log-ins for BI tools.

Whoever may use these pages decides who sees what in the database itself: administrators, freshly proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from vallum.enforce.roles.login import Login
from vallum.enforce.roles.status import by_kind
from vallum.facade.roles import Proposal
from vallum.server.console.site import Ask, Site
from vallum.server.pages import Answer, Download, NotYours, Page, Pages, Redirect, Stream, as_json
from vallum.server.pages.environment import render
from vallum.server.pages.progress import run

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Roles", "/postgres", "database", section="PostgreSQL", key="r", who="administrator")

SHOWN: Final = 60
MOST_LISTED: Final = 1_000


@pages.get("/postgres", who="administrator")
def overview(visit: Ask) -> Answer:
    """The state; looked up behind the page, since PostgreSQL is asked about every table."""
    if visit.query.text("format") == "json":
        return Download(as_json(visit.site.vallum.roles.status().as_dict()), "application/json")
    found = _state(visit.site) if visit.query.text("check") else None
    return Page("postgres.html", {"state": found, "done": visit.query.text("done")})


@pages.get("/postgres/check", who="administrator")
def check(visit: Ask) -> Answer:
    """The state, told as it is found."""
    site = visit.site

    def finish(found: dict[str, Any]) -> dict[str, Any]:
        return {
            "html": render("postgres_state.html", {"state": found, "visit": visit, "viewer": visit.viewer})
        }

    return Stream(lambda: run(lambda progress: _state(site, progress=progress), finish))


def _state(site: Site, **more: Any) -> dict[str, Any]:
    """Status and plan.

    Raises: ConnectionFailed, RolesRefused.
    """
    roles = site.vallum.roles
    status = roles.status(**more)
    proposal = roles.plan(**more)
    return {
        "status": status,
        "empty": proposal.is_empty,
        "counts": by_kind(proposal.changes),
        "drift": [
            {"kind": d.kind, "name": d.name, "change": d.change}
            for d in (status.drift or proposal.drift)[:SHOWN]
        ],
        "locked": status.locked,
        "warnings": proposal.plan.warnings,
    }


@pages.get("/postgres/plan", who="administrator")
def plan(visit: Ask) -> Answer:
    """The exact statements that applying would run."""
    found: Proposal = visit.site.vallum.roles.plan()
    statements = [s.strip().rstrip(";") + ";" for s in found.changes.statements()]
    if visit.query.text("format") == "sql":
        text = "BEGIN;\n" + "\n".join(statements) + "\nCOMMIT;\n"
        return Download(text.encode(), "application/sql", "vallum-roles.sql")
    values = {
        "found": found,
        "counts": by_kind(found.changes),
        "statements": statements,
        "shown": statements[:200],
    }
    return Page("postgres_plan.html", values)


@pages.post("/postgres/apply", who="administrator")
def apply(visit: Ask) -> Answer:
    """Bring PostgreSQL to the policy: all of it in one transaction, or nothing."""
    _require_fresh(visit)
    visit.site.told(visit, "policy-change", act="roles applied")
    visit.site.vallum.roles.apply()
    return Redirect("/postgres?done=applied")


@pages.get("/postgres/log-ins", who="administrator")
def log_ins(visit: Ask) -> Answer:
    """Who may connect directly, and the form that lets somebody."""
    return Page("postgres_logins.html", _log_ins(visit))


@pages.post("/postgres/log-ins", who="administrator")
def let_in(visit: Ask) -> Answer:
    """Make a password for somebody's role; it is shown in this answer, and nowhere else."""
    _require_fresh(visit)
    site, form = visit.site, visit.form
    user = site.vallum.users.find(form.number("user") if form.text("act") else form.text("user"))
    if form.text("act") == "disable":
        site.told(visit, "administration", act="log-in shut", of=user.id)
        site.vallum.roles.disable(user.id)
        return Redirect("/postgres/log-ins?done=disabled")
    days = form.number("days", 90, least=1, most=365)
    site.told(visit, "administration", act="log-in made", of=user.id, days=days)
    made = site.vallum.roles.login(user.id, days)
    values = _log_ins(visit) | {
        "made": made,
        "made_for": user,
        "strings": connection_strings(site.vallum.application.database.dsn, made),
    }
    return Page("postgres_logins.html", values)


def _log_ins(visit: Ask) -> dict[str, Any]:
    site = visit.site
    status = site.vallum.roles.status()
    people = [user for user in site.census.users if user.active and not site.actor(user).superuser]
    by_login = {u.login: u.id for u in site.census.users}
    return {
        "applied": status.applied,
        "people": people[:MOST_LISTED],
        "rows": [(entry, by_login.get(entry.login or "")) for entry in status.logins],
        "made": None,
        "done": visit.query.text("done"),
    }


def _require_fresh(visit: Ask) -> None:
    if not visit.viewer.fresh:
        raise NotYours("this needs a fresh sign-in", fix="sign in once more, then repeat it")


def connection_strings(dsn: str, login: Login) -> Mapping[str, str]:
    """How tools connect as the role. The password is a place to fill in: it is shown once, by itself.

    >>> made = Login("vallum_shop_user_7", "secret", None)
    >>> connection_strings("postgresql://app:pw@db.example:5433/shop?sslmode=verify-full", made)["URI"]
    'postgresql://vallum_shop_user_7@db.example:5433/shop?sslmode=verify-full'
    """
    parts = conninfo_to_dict(dsn)
    host = str(parts.get("host") or "localhost")
    if host.startswith("/"):
        host = "localhost"
    port, name = str(parts.get("port") or "5432"), str(parts.get("dbname") or "")
    ssl = str(parts.get("sslmode") or "verify-full")
    return {
        "URI": f"postgresql://{login.role}@{host}:{port}/{name}?sslmode={ssl}",
        "psql": f"psql 'host={host} port={port} dbname={name} user={login.role} sslmode={ssl}'",
        "JDBC": f"jdbc:postgresql://{host}:{port}/{name}?user={login.role}&sslmode={ssl}",
        "Python": f'psycopg.connect("host={host} port={port} dbname={name} user={login.role} sslmode={ssl}")',
        "Power BI, Excel": f"Server: {host}:{port}   Database: {name}   User: {login.role}",
    }
