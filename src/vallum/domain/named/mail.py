"""Named implementations for messaging: followers, messages, activities, channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vallum.domain.ast import Condition, Domain, all_of, any_of, negate
from vallum.domain.env import Env
from vallum.domain.filter import (
    NEVER,
    Compare,
    Filter,
    IsNull,
    No,
    Plain,
    Ref,
    Root,
    Row,
    Select,
    Within,
    every,
    some,
)
from vallum.domain.lower import NEGATIVE, POSITIVE, Lowering, root
from vallum.domain.named import DisplayName, FieldAccess, FieldDomain, Search, SearchMethod
from vallum.domain.named.base import linked_partner, plain, readable_documents, wanted
from vallum.kernel import AccessDenied
from vallum.schema import Field, Model


def message_partner_ids(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Filter:
    """Records by their followers."""
    if env.access is not None and not env.access.in_group("base.group_user"):
        values = value if isinstance(value, tuple) else (value,)
        if any(v != env.partner_id for v in values):
            raise AccessDenied("portal users find threads by themselves as followers only")
    followers = env.schema.model("mail.followers")
    positive = operator not in NEGATIVE
    domain = all_of(
        (
            Condition("res_model", "=", model.name),
            Condition("partner_id", POSITIVE.get(operator, operator), value),
        )
    )
    rows = Select(
        Ref(root(followers), "res_id", Plain("int4")), lowering.search(followers, domain, env.sudo())
    )
    found = Within(lowering.id_ref(row), rows)
    return found if positive else No(found)


def message_is_follower(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Filter:
    """Records the actor follows, or does not."""
    asked = wanted(field, operator, value)
    followers = root(env.schema.model("mail.followers"))
    mine = every(
        (
            Compare(Ref(followers, "res_model", Plain("varchar")), "=", model.name),
            Compare(Ref(followers, "partner_id", Plain("int4")), "=", env.partner_id or 0),
        )
    )
    found = Within(lowering.id_ref(row), Select(Ref(followers, "res_id", Plain("int4")), mine))
    return found if asked else No(found)


def has_message(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Filter:
    """Records that have any message."""
    asked = wanted(field, operator, value)
    messages = root(env.schema.model("mail.message"))
    of_model = Compare(Ref(messages, "model", Plain("varchar")), "=", model.name)
    res_id = Ref(messages, "res_id", Plain("int4"))
    found = Within(lowering.id_ref(row), Select(res_id, every((of_model, No(IsNull(res_id))))))
    return found if asked else No(found)


def is_member(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Filter:
    """Channels the actor is a member of; archived ones count only where inactive records do."""
    asked = wanted(field, operator, value)
    if env.partner_id is None:
        return No(NEVER) if not asked else NEVER
    mine = env.schema.field("res.partner", "channel_ids")
    channel = root(model)
    linked = linked_partner(
        channel, mine.relation or "", mine.column2 or "", mine.column1 or "", env.partner_id
    )
    if env.active_test and model.active_name:
        linked = every((linked, Compare(Ref(channel, model.active_name, Plain("bool")), "=", True)))
    found = Within(lowering.id_ref(row), Select(Ref(channel, "id", Plain("int4")), linked))
    return found if asked else No(found)


def is_self(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Domain:
    """Channel members that are the actor."""
    mine: Domain = Condition("partner_id", "=", env.partner_id or 0)
    if env.partner_id is None:
        mine = any_of(())
    return mine if wanted(field, operator, value) else negate(mine)


def messages(lowering: Lowering, model: Model, domain: Domain, env: Env, active_test: bool) -> Filter:
    """Messages: one's own, those one was told of, and those of records one may read."""
    access = env.access
    if access is None:
        return lowering.plain_search(model, domain, env, active_test=active_test)
    if not access.in_group("base.group_user"):
        public = (
            Condition("is_internal", "=", False),
            Condition("subtype_id", "!=", False),
            Condition("subtype_id.internal", "=", False),
        )
        domain = all_of((*public, domain))
    found = lowering.plain_search(model, domain, env, active_test=active_test)
    at = root(model)
    partner = env.partner_id
    told: list[Filter] = []
    if partner is not None:
        notifications = Root("mail_notification")
        mine = Compare(Ref(notifications, "res_partner_id", Plain("int4")), "=", partner)
        told = [
            Compare(Ref(at, "author_id", Plain("int4")), "=", partner),
            linked_partner(at, "mail_message_res_partner_rel", "mail_message_id", "res_partner_id", partner),
            Within(lowering.id_ref(at), Select(Ref(notifications, "mail_message_id", Plain("int4")), mine)),
        ]
    return every((found, some((*told, _of_readable_documents(lowering, env, at)))))


def _of_readable_documents(lowering: Lowering, env: Env, at: Root) -> Filter:
    of_model, res_id = Ref(at, "model", Plain("varchar")), Ref(at, "res_id", Plain("int4"))
    kind = Ref(at, "message_type", Plain("varchar"))
    parts = [
        every((Compare(of_model, "=", name), readable_documents(lowering, name, res_id, env)))
        for name in env.facts.document_models("mail_message", "model")
        if name in env.schema.models
    ]
    public = some((IsNull(kind), Compare(kind, "!=", "user_notification")))
    return every((public, some(parts)))


_POST_ACCESS: Final = {
    "project.task": "read",
    "discuss.channel": "read",
    "hr.employee": "read",
    "mail.thread": "write",
}


def activities(lowering: Lowering, model: Model, domain: Domain, env: Env, active_test: bool) -> Filter:
    """Activities: one's own, and those of records one may post on."""
    access = env.access
    found = lowering.plain_search(model, domain, env, active_test=active_test)
    if access is None:
        return found
    at = root(model)
    of_model, res_id = Ref(at, "res_model", Plain("varchar")), Ref(at, "res_id", Plain("int4"))
    parts = []
    for name in env.facts.document_models("mail_activity", "res_model"):
        if name not in env.schema.models:
            continue
        threaded = "message_ids" in env.schema.model(name).fields
        operation = _POST_ACCESS.get(name, "write" if threaded else "read")
        records = _existing(lowering, name, res_id, env, operation)
        parts.append(every((Compare(of_model, "=", name), records)))
    mine = Compare(Ref(at, "user_id", Plain("int4")), "=", env.user_id)
    return every((found, some((mine, *parts))))


def _existing(lowering: Lowering, name: str, res_id: Ref, env: Env, operation: str) -> Filter:
    model = env.schema.model(name)
    access = env.access
    if access is None or not access.may(model, operation):
        return NEVER
    rules = access.rules(model, env.with_active_test(False), operation)
    return NEVER if rules == NEVER else Within(res_id, Select(Ref(root(model), "id", Plain("int4")), rules))


def scheduled_messages(
    lowering: Lowering, model: Model, domain: Domain, env: Env, active_test: bool
) -> Filter:
    """Messages to be sent later: those on records one may post on."""
    found = lowering.plain_search(model, domain, env, active_test=active_test)
    if env.access is None:
        return found
    at = root(model)
    of_model, res_id = Ref(at, "model", Plain("varchar")), Ref(at, "res_id", Plain("int4"))
    parts = [
        every(
            (
                Compare(of_model, "=", name),
                _existing(lowering, name, res_id, env, _POST_ACCESS.get(name, "write")),
            )
        )
        for name in env.facts.document_models(model.table, "model")
        if name in env.schema.models
    ]
    return every((found, some(parts)))


METHODS: Final[Mapping[str, SearchMethod]] = {
    "_search_message_partner_ids": message_partner_ids,
    "_search_message_is_follower": message_is_follower,
    "_search_has_message": has_message,
    "discuss.channel.is_member": is_member,
    "discuss.channel.member.is_self": is_self,
}
DISPLAY_NAMES: Final[Mapping[str, DisplayName]] = {}
SEARCHES: Final[Mapping[str, Search]] = {
    "mail.message": messages,
    "mail.activity": activities,
    "mail.scheduled.message": scheduled_messages,
    "mail.blacklist": plain,
}
FIELD_DOMAINS: Final[Mapping[str, FieldDomain]] = {}
COLUMNS: Final[Mapping[str, str]] = {}
FIELD_ACCESS: Final[Mapping[str, FieldAccess]] = {}
# Whose code is known, by model.
MODULES: Final[Mapping[str, str]] = {
    "mail.activity": "mail",
    "mail.blacklist": "mail",
    "mail.message": "mail",
    "mail.scheduled.message": "mail",
}
