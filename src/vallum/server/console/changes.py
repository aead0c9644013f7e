"""Changes of the policy: submitted with a reason, decided by somebody else, in force at once, kept for good.

Only for an application's own policy: an Odoo's is changed in that Odoo, by the file the workshop makes.
Invariant: who may decide is told by the viewer; that nobody decides their own is seen to by `governance`.
A proposed rule was checked when it was submitted to ask only about what its author may read: whoever
reviews it is told counts, and no names but those open to themselves.
"""

from __future__ import annotations

from typing import Any, Final

from vallum.governance import STATES, ChangeConflict, Changes, Person, Proposed
from vallum.kernel import VallumError
from vallum.policy.change import with_change
from vallum.server.console.comparison import AT_ONCE, at_once, check_own, comparing, concerned
from vallum.server.console.site import Ask, Site, operation_in
from vallum.server.console.sketch import change_of, digest, query_of, read_sketch
from vallum.server.console.workshop import draft_values
from vallum.server.pages import Answer, NotFound, NotYours, Page, Pages, Redirect, twin
from vallum.server.pages.failures import failure_of

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Changes", "/changes", "git-branch-plus", section="Access", key="c", who="reviews")

SHOWN: Final = 100


def changes_of(visit: Ask) -> Changes:
    """The changes of the application's own policy; what is done to them is recorded first.

    Raises: NotFound, where it is an Odoo's.
    """
    if not visit.site.native:
        raise NotFound(
            "the policy of an Odoo is changed in that Odoo",
            fix="take the draft along as a file, and update the module",
        )
    return Changes(
        visit.site.vallum.application, lambda facts: visit.site.told(visit, "policy-change", **facts)
    )


def person(visit: Ask) -> Person:
    """The viewer, as one who proposes or decides."""
    return Person(visit.viewer.user_id, visit.viewer.login)


@pages.get("/changes", who="reviews")
def listed(visit: Ask) -> Answer:
    """The changes, those that wait first."""
    values: dict[str, Any] = {
        "found": (),
        "states": [("", "all"), *((state, state) for state in STATES)],
        "native": visit.site.native,
        "total": 0,
    }
    if not visit.site.native:
        return Page("changes.html", values)
    state = visit.query.text("state")
    found = changes_of(visit).some(state if state in STATES else None)
    answer = twin(visit, "changes", [one.as_dict() for one in found])
    if answer is not None:
        return answer
    found.sort(key=lambda one: one.state != "waiting")
    first = visit.query.number("from", most=max(0, len(found) - 1))
    shown = found[first : first + SHOWN]
    return Page("changes.html", values | {"found": shown, "total": len(found), "first": first, "step": SHOWN})


@pages.post("/changes", who="administrator")
def submit(visit: Ask) -> Answer:
    """Submit a draft. Where it cannot be, its page comes back with what was typed."""
    site, form = visit.site, visit.form
    changes = changes_of(visit)
    sketch = read_sketch(site.vallum.policy, form)
    model = site.model(sketch.model) if sketch.model or sketch.kind != "group" else None
    try:
        change = change_of(site.vallum.policy, sketch)
        if sketch.base != digest(change.before):
            raise ChangeConflict(
                f"the {sketch.kind} has changed since you began the draft",
                fix="begin it anew from what is in force now",
            )
        if model is not None and sketch.kind == "rule":
            check_own(visit, model, sketch.domain)
        made = changes.propose(change, form.text("reason"), person(visit))
    except VallumError as error:
        values = draft_values(visit, sketch, model) | {"failure": failure_of(error), "tried": True}
        return Page("workshop_draft.html", values, status=failure_of(error).status)
    return Redirect(f"/changes/{made.id}?done=proposed")


@pages.get("/changes/{number:int}", who="reviews")
def one(visit: Ask) -> Answer:
    """A change: what it makes different, for whom, why, and what became of it."""
    changes = changes_of(visit)
    found = _found(visit, changes)
    answer = twin(visit, f"change-{found.id}", [found.as_dict()])
    return answer if answer is not None else _shown(visit, changes, found)


def _found(visit: Ask, changes: Changes) -> Proposed:
    return changes.get(int(visit.parts["number"]))


def _shown(visit: Ask, changes: Changes, found: Proposed, failure: VallumError | None = None) -> Page:
    site, me = visit.site, person(visit)
    change, policy = found.change, site.vallum.policy
    waits = found.state == "waiting"
    latest = next(iter(changes.some("approved", item=(change.kind, change.xml_id))), None)
    values: dict[str, Any] = {
        "found": found,
        "differences": list(found.differences()),
        "history": changes.some(item=(change.kind, change.xml_id))[:SHOWN],
        "rivals": changes.rivals(found),
        "conflicts": changes.conflicts(found),
        "own": found.author.is_same(me),
        "decides": waits and visit.viewer.approver and not found.author.is_same(me),
        "withdraws": waits and found.author.is_same(me),
        "back": _back(visit, found) if latest is not None and latest.id == found.id else None,
        "anew": query_of(policy, change, change.after) if visit.viewer.administrator else None,
        "failure": failure_of(failure) if failure is not None else None,
        "done": visit.query.text("done"),
        "asked": operation_in(visit),
        "compared": None,
        "unseen": None,
        "later": False,
    }
    if waits and found.model and not values["conflicts"]:
        values |= _effect(visit, found)
    status = 200 if failure is None else failure_of(failure).status
    return Page("change.html", values, status=status)


def _back(visit: Ask, found: Proposed) -> str | None:
    """The draft that would undo a change, for those who may propose one."""
    undone = found.change.kind == "group" and found.change.before is None
    if not visit.viewer.administrator or undone:
        return None
    change, policy = found.change, visit.site.vallum.policy
    return f"/workshop/draft?{query_of(policy, change, change.before, reason=f'Roll back change {found.id}')}"


def _effect(visit: Ask, found: Proposed) -> dict[str, Any]:
    """Who would gain and lose what: at once where few are asked about, else behind a button."""
    site, change = visit.site, found.change
    try:
        model = site.model(found.model)
        if len(concerned(site)) > AT_ONCE and visit.query.text("count") != "now":
            return {"later": True}
        return at_once(visit, model, with_change(site.vallum.policy, change), operation_in(visit))
    except VallumError as error:
        return {"unseen": failure_of(error)}


@pages.get("/changes/{number:int}/compare", who="reviews")
def compare_all(visit: Ask) -> Answer:
    """What the change does for everybody, told as it is found."""
    site = visit.site
    found = _found(visit, changes_of(visit))
    change, model = found.change, site.model(found.model)
    return comparing(visit, model, lambda: with_change(site.vallum.policy, change))


@pages.post("/changes/{number:int}", who="reviews")
def decide(visit: Ask) -> Answer:
    """Approve, refuse or withdraw; where that cannot be, the page comes back and says why."""
    changes, form = changes_of(visit), visit.form
    found, act, me = _found(visit, changes), form.text("act"), person(visit)
    try:
        if act == "withdraw":
            changes.withdraw(found.id, me)
        elif act in ("approve", "refuse"):
            _require_approver(visit)
            decided = changes.approve if act == "approve" else changes.refuse
            decided(found.id, me, form.text("comment"))
        else:
            raise NotFound(f"nothing is called `{act:.40}`", fix="use one of the page's buttons")
    except VallumError as error:
        return _shown(visit, changes, changes.get(found.id), error)
    return Redirect(f"/changes/{found.id}?done={act}")


def _require_approver(visit: Ask) -> None:
    viewer = visit.viewer
    if not viewer.approver:
        raise NotYours("you may not decide about changes", fix="ask one of the approvers")
    if not viewer.fresh:
        raise NotYours("this needs a fresh sign-in", fix="sign in once more, then repeat it")
