"""What needs attention, the most pressing first, each with the page to act on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from vallum.analysis import inexact_models
from vallum.facade import BrokenRule
from vallum.kernel import Operation
from vallum.server.console.layers import Standing

__all__ = ["Attention", "attention"]

_KEPT: Final = 8
_OLD: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that should be looked at. `weight` orders them; the heaviest come first."""

    weight: int
    kind: str
    title: str
    text: str
    href: str


def attention(standing: Standing) -> Iterator[Attention]:
    """All of it, in no order."""
    yield from _policy(standing)
    yield from _people(standing)
    yield from _changes(standing)
    yield from _sign_in(standing)
    yield from _audit(standing)
    yield from _roles(standing)


def _policy(standing: Standing) -> Iterator[Attention]:
    site = standing.site
    policy = site.vallum.policy
    found = standing.check.value
    for broken in _by_rule(found.broken)[:_KEPT] if found is not None else ():
        yield _broken(standing, broken)
    for gap in site.vallum.gaps:
        yield Attention(70, "notice", gap.fact, f"{gap.consequence}: {gap.fix}", "")
    open_to_all = [r for r in policy.rights if r.group is None and r.operations - {Operation.READ}]
    if open_to_all:
        names = ", ".join(sorted({r.model for r in open_to_all})[:_KEPT])
        yield Attention(
            85, "refused", "Everyone may change these models", f"Rights without a group: {names}.", "/access"
        )
    inexact = inexact_models(site.vallum.schema)
    mattering = [name for name in inexact if name in policy.rights_by_model]
    if mattering:
        text = f"In {len(mattering)} models code of modules decides as well; answers there say so."
        yield Attention(20, "", "Models where code decides as well", text, "/access?mrisk=code")


def _by_rule(broken: tuple[BrokenRule, ...]) -> list[BrokenRule]:
    """Each rule once; those that shut out everybody first."""
    once = {one.rule.id: one for one in broken}
    return sorted(once.values(), key=lambda one: (bool(one.users), one.rule.model, one.rule.id))


def _broken(standing: Standing, broken: BrokenRule) -> Attention:
    rule = broken.rule
    name = f"“{(rule.name or rule.xml_id or str(rule.id))[:60]}” of {rule.model}"
    whom = "those whom it is for" if broken.users else "everyone"
    href = f"/workshop/draft?id={rule.id}" if standing.viewer.administrator else ""
    text = f"It shuts {whom} out: {broken.error.what}"
    return Attention(96 if broken.users else 97, "refused", f"The rule {name} cannot be read", text, href)


def _people(standing: Standing) -> Iterator[Attention]:
    site = standing.site
    users = site.census.users
    active = [user for user in users if user.active]
    escalating = [u for u in active if u.id in site.census.escalating]
    if escalating:
        names = ", ".join((u.name or u.login)[:40] for u in escalating[:_KEPT])
        text = (
            f"{len(escalating)} of {len(active)} people may change rights, rules, groups or users: {names}."
        )
        yield Attention(40, "notice", "Who may change who sees what", text, "/access?risk=escalates")
    leavers = [u for u in users if not u.active and site.actor(u).groups]
    if leavers:
        text = f"{len(leavers)} inactive people still have groups; they come back with them when reactivated."
        yield Attention(30, "notice", "Inactive people with groups", text, "/people?risk=inactive")


def _changes(standing: Standing) -> Iterator[Attention]:
    if standing.waiting:
        text = f"{standing.waiting} changes of the policy wait for somebody to decide."
        yield Attention(60, "notice", "Changes wait", text, "/changes?state=waiting")


def _sign_in(standing: Standing) -> Iterator[Attention]:
    found = standing.sign_in
    if found is None:
        return
    acts = standing.viewer.administrator
    users, keys = ("/account/users", "/account/keys") if acts else ("", "")
    if found.emergency:
        names = ", ".join(login[:40] for login in found.emergency[:_KEPT])
        text = f"In the last 30 days somebody signed in with: {names}."
        yield Attention(90, "refused", "Emergency accounts were used", text, users)
    if found.locked:
        text = f"{found.locked} logins or addresses are locked out after too many failures."
        yield Attention(65, "notice", "Locked out just now", text, users)
    if found.ending:
        text = f"{found.ending} keys of programs end within two weeks."
        yield Attention(64, "notice", "Keys end soon", text, keys)
    if found.requests:
        text = f"{found.requests} requests for groups wait for somebody to decide."
        yield Attention(63, "notice", "Requests wait", text, "/account/requests" if acts else "")
    if found.unsent:
        text = f"{found.unsent} mails could not be sent in the last 30 days."
        yield Attention(55, "notice", "Mail does not arrive", text, "")
    without = found.people - found.with_factor
    if without:
        text = f"{without} of {found.people} people sign in without a second factor."
        yield Attention(35, "notice", "No second factor", text, users)


def _audit(standing: Standing) -> Iterator[Attention]:
    asked = standing.audit
    if asked is None or asked.value is None:
        return
    found = asked.value
    if found.problems:
        first = found.problems[0]
        more = f", and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
        text = f"{first.what}{more}."
        yield Attention(95, "refused", "The audit trail has gaps", text, "/audit/coverage")
    if not found.tables:
        text = "No table is audited: nothing tells who changed what."
        yield Attention(50, "notice", "Nothing is audited", text, "/audit/coverage")
    unsigned = found.size - found.signed_size
    late = found.signed_at is None or standing.now - found.signed_at > _OLD
    if unsigned > 0 and late and not found.problems:
        text = f"{unsigned} events are in no signed checkpoint yet: run the sequencer."
        yield Attention(62, "notice", "Events are not signed", text, "/audit/proofs")


def _roles(standing: Standing) -> Iterator[Attention]:
    asked = standing.roles
    if asked is None or asked.value is None or not asked.value.applied:
        return
    found = asked.value
    if found.drift:
        names = ", ".join(f"{d.kind} {d.name}"[:60] for d in found.drift[:3])
        text = f"{len(found.drift)} things in PostgreSQL are not as they were applied: {names}."
        yield Attention(93, "refused", "Roles were changed by hand", text, "/postgres?check=now")
    elif not found.is_clean:
        text = "What roles may do in PostgreSQL is not today's policy: apply the plan."
        yield Attention(75, "notice", "Roles are behind the policy", text, "/postgres/plan")
