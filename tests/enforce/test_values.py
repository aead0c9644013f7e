"""Create, write and unlink on the example company: rights, fields and rules, in that order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

import vallum
from examples.trading import SECURITY, Base
from tests.support.odoo import OdooReference
from vallum.kernel import (
    AccessDenied,
    Conflict,
    ConstraintRefused,
    CyclicHierarchy,
    FixedClock,
    InvalidValue,
    KeyReused,
    MissingValue,
    NotWritable,
    ReadonlyField,
    UnknownField,
    UnknownModel,
    UnknownRecord,
)
from vallum.policy import Actor


def count(shop: vallum.Vallum, model: str) -> int:
    """All records of a model, inactive ones too."""
    return shop.sudo().search_count(model, [], active_test=False)


# Rights, fields, rules


def test_missing_right_is_refused_before_anything_else(shop: vallum.Vallum) -> None:
    """Whatever is given: names of fields and ids are not even looked at."""
    victor = shop.as_user("victor")
    with pytest.raises(AccessDenied, match="no access right to create"):
        victor.create("crm.lead", {"nonsense": 1})
    with pytest.raises(AccessDenied, match="no access right to write"):
        victor.write("crm.tag", [10**6], {"nonsense": 1})
    with pytest.raises(AccessDenied, match="no access right to unlink"):
        victor.unlink("crm.tag", [10**6])


def test_shut_and_unknown_fields_are_named(shop: vallum.Vallum) -> None:
    """And nothing is created."""
    marie, before = shop.as_user("marie"), count(shop, "res.partner")
    with pytest.raises(AccessDenied, match=r"res\.partner\.credit_limit"):
        marie.create("res.partner", {"name": "New", "credit_limit": 5})
    with pytest.raises(UnknownField, match="use `email`"):
        marie.create("res.partner", {"name": "New", "emial": "x"})
    with pytest.raises(UnknownModel):
        marie.create("res.partners", {"name": "New"})
    assert count(shop, "res.partner") == before


def test_write_reaches_all_records_or_none(shop: vallum.Vallum) -> None:
    """One id out of scope, or of nothing, refuses all of them, and with the same words."""
    marie = shop.as_user("marie")
    own = marie.search("crm.lead", [("user_id", "=", 3)], limit=3)
    hidden = shop.sudo().search("crm.lead", [("user_id", "=", 6)], limit=1)[0]
    texts = []
    for other in (hidden, 10**6):
        with pytest.raises(AccessDenied) as caught:
            marie.write("crm.lead", [*own, other], {"name": "Changed"})
        texts.append(str(caught.value).replace(str(other), "ID"))
    assert texts[0] == texts[1]
    assert "Changed" not in {r["name"] for r in shop.sudo().read("crm.lead", own, ["name"])}


def test_write_asks_the_rules_of_the_record_before_it(shop: vallum.Vallum) -> None:
    """As in Odoo: a record may be given away, and is then out of reach."""
    marie = shop.as_user("marie")
    lead = marie.create("crm.lead", {"name": "Mine", "user_id": 3})
    marie.write("crm.lead", lead, {"user_id": 4})
    with pytest.raises(AccessDenied):
        marie.write("crm.lead", lead, {"name": "Again"})


def test_write_may_be_asked_to_stay_in_scope(shop: vallum.Vallum) -> None:
    """With `check_after_write` a record cannot be given away by who then may not write it."""
    marie = shop.as_user("marie")
    lead = marie.create("crm.lead", {"name": "Mine", "user_id": 3})
    shop.application.check_after_write = True
    with pytest.raises(AccessDenied, match="leave"):
        marie.write("crm.lead", [lead], {"user_id": 4})
    assert marie.read("crm.lead", [lead], ["user_id"], names=False)[0]["user_id"] == 3
    marie.write("crm.lead", [lead], {"name": "Still mine"})


def test_created_records_must_be_in_the_create_scope(shop: vallum.Vallum) -> None:
    """One that is not takes the whole batch with it."""
    marie, before = shop.as_user("marie"), count(shop, "crm.lead")
    with pytest.raises(AccessDenied, match="number 2 of 2"):
        marie.create("crm.lead", [{"name": "A", "user_id": 3}, {"name": "B", "user_id": 4}])
    assert count(shop, "crm.lead") == before


def test_unlink_deletes_all_records_or_none(shop: vallum.Vallum) -> None:
    """Rules for unlink decide: an order that is confirmed stays."""
    sofia = shop.as_user("sofia")
    draft = sofia.create("sale.order", _order(name="D"))
    sold = sofia.create("sale.order", _order(name="S", state="sale"))
    with pytest.raises(AccessDenied):
        sofia.unlink("sale.order", [draft, sold])
    assert sofia.exists("sale.order", [sold, draft, 10**6]) == [sold, draft]
    sofia.unlink("sale.order", draft)
    assert sofia.exists("sale.order", [sold, draft]) == [sold]


def _order(**values: Any) -> dict[str, Any]:
    return {"partner_id": 6, "company_id": 1, "user_id": 3, **values}


def test_superuser_is_told_what_does_not_exist(shop: vallum.Vallum) -> None:
    """Nothing restricts it, so that there is nothing to hide."""
    with pytest.raises(UnknownRecord, match="1000000"):
        shop.sudo().write("crm.lead", [10**6], {"name": "x"})
    with pytest.raises(UnknownRecord):
        shop.sudo().unlink("crm.lead", [10**6])
    with pytest.raises(UnknownRecord):
        shop.sudo().create("crm.lead", {"name": "x", "partner_id": 10**6})


def test_many2one_leads_only_to_what_the_actor_may_read(shop: vallum.Vallum) -> None:
    """Hidden and missing records are refused with the same words, when creating and when writing."""
    marie = shop.as_user("marie")
    seen = set(marie.search("res.partner", [], active_test=False))
    hidden = next(i for i in shop.sudo().search("res.partner", [], active_test=False) if i not in seen)
    lead = marie.create("crm.lead", {"name": "Mine", "user_id": 3, "partner_id": min(seen)})
    texts = set()
    for partner in (hidden, 10**6):
        for attempt in (
            lambda p=partner: marie.create("crm.lead", {"name": "x", "user_id": 3, "partner_id": p}),
            lambda p=partner: marie.write("crm.lead", [lead], {"partner_id": p}),
        ):
            with pytest.raises(AccessDenied) as caught:
                attempt()
            texts.add(str(caught.value).replace(str(partner), "ID"))
    assert len(texts) == 1


# Who and when, defaults, names


def test_vallum_says_who_and_when(shop: vallum.Vallum) -> None:
    """In the four magic fields, which nobody else sets; `write_date` grows with every write."""
    marie, paul = shop.as_user("marie"), shop.as_user("paul")
    lead = marie.create("crm.lead", {"name": "Mine", "user_id": 3})
    fields = ["create_uid", "create_date", "write_uid", "write_date"]
    first = marie.read("crm.lead", [lead], fields, names=False)[0]
    assert (first["create_uid"], first["write_uid"]) == (3, 3)
    assert first["create_date"] == first["write_date"]
    paul.write("crm.lead", [lead], {"name": "Ours"})
    then = paul.read("crm.lead", [lead], fields, names=False)[0]
    assert (then["create_uid"], then["write_uid"]) == (3, 4)
    assert then["create_date"] == first["create_date"] < then["write_date"]


def test_write_date_grows_though_the_clock_stands(shop: vallum.Vallum) -> None:
    """It is a version: two writes in one instant are two versions."""
    shop.application.clock = FixedClock(datetime.fromisoformat("2026-03-01T12:00:00+00:00"))
    sudo = shop.sudo()
    tag = sudo.create("crm.tag", {"name": "Standing"})
    dates = []
    for colour in range(3):
        dates.append(sudo.read("crm.tag", [tag], ["write_date"])[0]["write_date"])
        sudo.write("crm.tag", tag, {"color": colour})
    assert dates == sorted(set(dates))


@pytest.mark.parametrize("name", ["id", "create_uid", "create_date", "write_uid", "write_date"])
@pytest.mark.parametrize("login", ["marie", "admin", None])
def test_nobody_sets_what_vallum_sets(shop: vallum.Vallum, name: str, login: str | None) -> None:
    """Not even the superuser: by create, write or copy."""
    user = shop.as_user(login) if login else shop.sudo()
    lead = shop.sudo().create("crm.lead", {"name": "x", "user_id": 3})
    with pytest.raises(ReadonlyField, match=name):
        user.create("crm.lead", {"name": "x", name: 1})
    with pytest.raises(ReadonlyField, match=name):
        user.write("crm.lead", [lead], {name: 1})
    with pytest.raises(ReadonlyField, match=name):
        user.copy("crm.lead", lead, {name: 1})


def test_computed_fields_are_not_set(shop: vallum.Vallum) -> None:
    """A display name follows from the name, a path from the parent."""
    admin = shop.as_user("admin")
    with pytest.raises(ReadonlyField, match="display_name"):
        admin.create("crm.tag", {"name": "x", "display_name": "y"})
    with pytest.raises(ReadonlyField, match="parent_id"):
        admin.write("product.category", [1], {"parent_path": "1/1/"})


def test_defaults_fill_what_is_not_given(shop: vallum.Vallum) -> None:
    """Those of the columns; a value given, nothing included, has precedence."""
    marie = shop.as_user("marie")
    plain, given = marie.create(
        "crm.lead", [{"name": "A", "user_id": 3}, {"name": "B", "user_id": 3, "type": None, "active": False}]
    )
    records = marie.read("crm.lead", [plain, given], ["type", "active", "priority"])
    assert [(r["type"], r["active"], r["priority"]) for r in records] == [
        ("lead", True, "0"),
        (False, False, "0"),
    ]
    assert marie.default_get("crm.lead", ["type", "name", "active"]) == {"type": "lead", "active": True}
    with pytest.raises(AccessDenied):
        shop.as_user("victor").default_get("crm.lead")
    with pytest.raises(AccessDenied, match="credit_limit"):
        marie.default_get("res.partner", ["credit_limit"])
    with pytest.raises(UnknownField):
        marie.default_get("res.partner", ["nonsense"])


def test_required_fields_need_a_value(shop: vallum.Vallum) -> None:
    """When creating, and when emptied."""
    marie = shop.as_user("marie")
    with pytest.raises(MissingValue, match=r"crm\.lead\.name"):
        marie.create("crm.lead", {"user_id": 3})
    lead = marie.create("crm.lead", {"name": "x", "user_id": 3})
    for empty in (None, False):
        with pytest.raises(MissingValue, match=r"crm\.lead\.name"):
            marie.write("crm.lead", [lead], {"name": empty})


def test_texts_are_written_in_the_actors_language(shop: vallum.Vallum) -> None:
    """And in English where there is none yet; other languages keep theirs."""
    sudo = shop.sudo()
    sudo.write("res.users", [5], {"lang": "fr_FR"})
    sofia = shop.as_user("sofia")
    stage = sofia.create("crm.stage", {"name": "Perdu"})
    assert _raw(shop, "crm_stage", "name", stage) == {"en_US": "Perdu", "fr_FR": "Perdu"}
    sudo.write("crm.stage", [stage], {"name": "Lost"})
    sofia.write("crm.stage", [stage], {"name": "Abandonné"})
    assert _raw(shop, "crm_stage", "name", stage) == {"en_US": "Lost", "fr_FR": "Abandonné"}
    assert sofia.read("crm.stage", [stage], ["name"])[0]["name"] == "Abandonné"


def test_values_per_company_are_those_of_the_current_one(shop: vallum.Vallum) -> None:
    """The others keep theirs."""
    admin = shop.as_user("admin", companies=[1, 2])
    other = shop.as_user("admin", companies=[2, 1])
    product = admin.create("product.product", {"name": "Bench", "categ_id": 1, "standard_price": 10})
    other.write("product.product", [product], {"standard_price": 12.5})
    assert _raw(shop, "product_product", "standard_price", product) == {"1": 10.0, "2": 12.5}
    admin.write("product.product", [product], {"standard_price": None})
    assert [
        u.read("product.product", [product], ["standard_price"])[0]["standard_price"] for u in (admin, other)
    ] == [0.0, 12.5]


def _raw(shop: vallum.Vallum, table: str, column: str, record: int) -> Any:
    return shop.application.database.rows(f"SELECT {column} FROM {table} WHERE id = %s", (record,))[0][0]


# Hierarchies


def test_paths_follow_the_parent(shop: vallum.Vallum) -> None:
    """Of new records, of moved ones with all below, and of those whose parent is deleted."""
    admin = shop.as_user("admin")
    top = admin.create("product.category", {"name": "Top"})
    low = admin.create("product.category", {"name": "Low", "parent_id": 3})
    assert _raw(shop, "product_category", "parent_path", low) == f"1/2/3/{low}/"
    admin.write("product.category", [3], {"parent_id": top})
    assert _raw(shop, "product_category", "parent_path", low) == f"{top}/3/{low}/"
    assert low in admin.search("product.category", [("id", "child_of", top)])
    shop.sudo().write("product.product", shop.sudo().search("product.product", []), {"categ_id": 9})
    admin.unlink("product.category", [3])
    assert _raw(shop, "product_category", "parent_path", low) == f"{low}/"
    admin.write("product.category", [top], {"parent_id": low})
    admin.write("product.category", [top], {"parent_id": None})
    assert _raw(shop, "product_category", "parent_path", top) == f"{top}/"


@pytest.mark.parametrize(
    ("model", "record", "below"), [("product.category", 1, 3), ("product.category", 2, 2)]
)
def test_nothing_becomes_its_own_ancestor(shop: vallum.Vallum, model: str, record: int, below: int) -> None:
    """At once or further down."""
    with pytest.raises(CyclicHierarchy, match="above itself"):
        shop.as_user("admin").write(model, [record], {"parent_id": below})


def test_hierarchies_without_paths_have_no_circles_either(shop: vallum.Vallum) -> None:
    """A contact's company is not its contact."""
    marie = shop.as_user("marie")
    company = marie.create("res.partner", {"name": "Company"})
    contact = marie.create("res.partner", {"name": "Contact", "parent_id": company})
    with pytest.raises(CyclicHierarchy):
        marie.write("res.partner", [company], {"parent_id": contact})


# Constraints, versions, keys


def test_constraint_is_named_and_says_nothing_of_the_row_that_is_there(own_shop: vallum.Vallum) -> None:
    """Field and label, not the value, which may be of a record out of sight; nothing is chained."""
    marie = own_shop.as_user("marie")
    with pytest.raises(ConstraintRefused, match=r"`name` \(Name\) of `crm\.tag`") as caught:
        marie.create("crm.tag", [{"name": "Fresh"}, {"name": "Urgent"}])
    assert "Urgent" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert not marie.search("crm.tag", [("name", "=", "Fresh")])


def test_records_in_use_stay(shop: vallum.Vallum) -> None:
    """The foreign key's own rule decides."""
    with pytest.raises(ConstraintRefused, match="torn apart"):
        shop.as_user("admin").unlink("res.company", [2])
    assert shop.sudo().exists("res.company", [2]) == [2]


def test_stale_version_is_a_conflict(shop: vallum.Vallum) -> None:
    """Named by id; with the version read before, the write goes through."""
    marie, paul = shop.as_user("marie"), shop.as_user("paul")
    one, two = marie.create("crm.lead", [{"name": "1", "user_id": 3}, {"name": "2", "user_id": 3}])
    read = {r["id"]: r["write_date"] for r in marie.read("crm.lead", [one, two], ["write_date"])}
    paul.write("crm.lead", [two], {"name": "Two"})
    with pytest.raises(Conflict) as caught:
        marie.write("crm.lead", [one, two], {"priority": "1"}, version=read)
    assert caught.value.ids == (two,)
    assert shop.sudo().read("crm.lead", [one], ["priority"])[0]["priority"] == "0"
    marie.write("crm.lead", one, {"priority": "1"}, version=read[one].isoformat())
    with pytest.raises(Conflict):
        marie.write("crm.lead", one, {"priority": "2"}, version=read[one])
    with pytest.raises(InvalidValue, match=str(two)):
        marie.write("crm.lead", [one, two], {"priority": "2"}, version={one: read[one]})


def test_version_to_the_second_stands_for_that_second(shop: vallum.Vallum) -> None:
    """As Odoo's clients are shown it; another second is another version."""
    marie = shop.as_user("marie")
    lead = marie.create("crm.lead", {"name": "1", "user_id": 3})
    read = marie.read("crm.lead", [lead], ["write_date"])[0]["write_date"]
    marie.write("crm.lead", lead, {"priority": "1"}, version=read.isoformat(" ", "seconds"))
    before = (read - timedelta(seconds=1)).isoformat(" ", "seconds")
    with pytest.raises(Conflict):
        marie.write("crm.lead", lead, {"priority": "2"}, version=before)


def test_key_creates_once(shop: vallum.Vallum) -> None:
    """For a day, the same user and the same content; other content is an error."""
    clock = FixedClock(datetime.fromisoformat("2026-03-01T12:00:00+00:00"))
    shop.application.clock = clock
    marie, paul = shop.as_user("marie"), shop.as_user("paul")
    first = marie.create("crm.tag", {"name": "Once", "color": 1}, key="k-1")
    assert marie.create("crm.tag", {"color": 1, "name": "Once"}, key="k-1") == first
    with pytest.raises(KeyReused):
        marie.create("crm.tag", {"name": "Other"}, key="k-1")
    with pytest.raises(KeyReused):
        marie.create("crm.lead", {"name": "Once", "user_id": 3}, key="k-1")
    assert paul.create("crm.tag", {"name": "Pauls"}, key="k-1") != first
    many = marie.create("crm.tag", [{"name": "A1"}, {"name": "A2"}], key="k-2")
    assert marie.create("crm.tag", [{"name": "A1"}, {"name": "A2"}], key="k-2") == many
    clock.advance(timedelta(days=1, seconds=1))
    assert marie.create("crm.tag", {"name": "Later"}, key="k-1") != first


def test_key_of_a_creation_that_failed_is_free(own_shop: vallum.Vallum) -> None:
    """Key and records are one transaction."""
    marie = own_shop.as_user("marie")
    with pytest.raises(ConstraintRefused):
        marie.create("crm.tag", {"name": "Urgent"}, key="k")
    assert marie.create("crm.tag", {"name": "Fine"}, key="k") > 0


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", 7, b"k"])
def test_what_is_no_key_is_refused(shop: vallum.Vallum, key: Any) -> None:
    """Text that can be printed, of 255 characters at most."""
    with pytest.raises(InvalidValue, match="idempotency key"):
        shop.as_user("marie").create("crm.tag", {"name": "x"}, key=key)


# Copies, rights


def test_copy_is_what_the_actor_reads(shop: vallum.Vallum) -> None:
    """Links are copied, lines are not; shut fields are left at their defaults, magic ones are anew."""
    sofia, sudo = shop.as_user("sofia"), shop.sudo()
    partner = sudo.create("res.partner", {"name": "Source", "credit_limit": 70, "city": "Lyon"})
    copied = sofia.copy("res.partner", partner, {"city": "Paris"})
    record = sudo.read("res.partner", [copied], ["name", "city", "credit_limit", "create_uid"], names=False)[
        0
    ]
    assert record == {"id": copied, "name": "Source", "city": "Paris", "credit_limit": 0.0, "create_uid": 5}
    lead = sofia.create("crm.lead", {"name": "L", "user_id": 5, "tag_ids": [(6, 0, [1, 3])]})
    again = sofia.copy("crm.lead", lead)
    assert sorted(sofia.read("crm.lead", [again], ["tag_ids"])[0]["tag_ids"]) == [1, 3]
    stage = sudo.search("crm.stage", [], limit=1)[0]
    assert _raw(shop, "crm_stage", "name", sofia.copy("crm.stage", stage)) == _raw(
        shop, "crm_stage", "name", stage
    )


def test_copy_of_what_cannot_be_read_is_refused(shop: vallum.Vallum) -> None:
    """As if it did not exist; unique values want others."""
    marie = shop.as_user("marie")
    hidden = shop.sudo().search("crm.lead", [("user_id", "=", 6)], limit=1)[0]
    with pytest.raises(AccessDenied):
        marie.copy("crm.lead", hidden)
    with pytest.raises(ConstraintRefused, match="unique"):
        marie.copy("crm.tag", 1)
    assert marie.copy("crm.tag", 1, {"name": "Another"}) > 8


def test_access_is_asked_for_without_an_error(shop: vallum.Vallum) -> None:
    """Of a model, or of given records."""
    marie = shop.as_user("marie")
    hidden = shop.sudo().search("crm.lead", [("user_id", "=", 6)], limit=1)
    assert marie.has_access("crm.lead", "write")
    assert not marie.has_access("crm.lead", "unlink")
    assert not marie.has_access("crm.lead", "write", hidden)
    assert marie.check_access_rights("crm.lead", "write")
    assert not marie.check_access_rights("crm.lead", "unlink", raise_exception=False)
    with pytest.raises(AccessDenied):
        marie.check_access_rights("crm.lead", "unlink")
    assert marie.exists("crm.lead", hidden) == []
    assert shop.sudo().exists("crm.lead", [*hidden, 10**6]) == hidden


# Transactions


def test_calls_within_a_transaction_go_with_it(own_shop: vallum.Vallum) -> None:
    """One that fails undoes itself alone; what the others did stays, or goes when the transaction does."""
    marie, database = own_shop.as_user("marie"), own_shop.application.database
    with database.transaction():
        kept = marie.create("crm.tag", {"name": "Kept"})
        with pytest.raises(ConstraintRefused):
            marie.create("crm.tag", {"name": "Urgent"})
        assert marie.exists("crm.tag", [kept]) == [kept]
    assert marie.exists("crm.tag", [kept]) == [kept]

    def fail() -> None:
        with database.transaction():
            marie.create("crm.tag", {"name": "Gone"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not marie.search("crm.tag", [("name", "=", "Gone")])


def test_stamps_are_set_in_the_transaction_of_the_write(shop: vallum.Vallum) -> None:
    """Before anything is written, with whoever writes."""
    seen: list[Any] = []

    def stamp(connection: psycopg.Connection[Any], actor: Actor | None) -> None:
        connection.execute("SELECT set_config('audit.actor', %s, true)", (actor.login if actor else "-",))
        seen.append(connection.info.transaction_status.name)

    shop.application.stamps.append(stamp)
    shop.application.database.rows(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.color := length(current_setting(''audit.actor'')); RETURN NEW; END'"
    )
    shop.application.database.rows(
        "CREATE TRIGGER note BEFORE INSERT ON crm_tag FOR EACH ROW EXECUTE FUNCTION note()"
    )
    tag = shop.as_user("marie").create("crm.tag", {"name": "Stamped"})
    assert _raw(shop, "crm_tag", "color", tag) == len("marie")
    assert seen == ["INTRANS"]


def test_change_of_a_users_groups_is_seen_by_the_next_session(own_shop: vallum.Vallum) -> None:
    """Whichever side it is written from, and not when it is rolled back."""
    sudo, leader = own_shop.sudo(), own_shop.policy.group_ids["trading.group_sale_manager"]
    assert not own_shop.as_user("marie").has_access("crm.lead", "unlink")
    sudo.write("res.users", [3], {"group_ids": [(4, leader)]})
    assert own_shop.as_user("marie").has_access("crm.lead", "unlink")
    sudo.write("res.groups", [leader], {"user_ids": [(3, 3)]})
    assert not own_shop.as_user("marie").has_access("crm.lead", "unlink")

    def fail() -> None:
        with own_shop.application.database.transaction():
            sudo.write("res.users", [3], {"group_ids": [(4, leader)]})
            assert own_shop.as_user("marie").has_access("crm.lead", "unlink")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not own_shop.as_user("marie").has_access("crm.lead", "unlink")


def test_what_a_transaction_has_changed_is_nobody_elses_before_it_ends(own_shop: vallum.Vallum) -> None:
    """Its own sessions see it, those of other threads when it is committed."""
    leader = own_shop.policy.group_ids["trading.group_sale_manager"]

    def may() -> bool:
        return own_shop.as_user("marie").has_access("crm.lead", "unlink")

    assert not may()
    with ThreadPoolExecutor(1) as others:
        with own_shop.application.database.transaction():
            own_shop.sudo().write("res.users", [3], {"group_ids": [(4, leader)]})
            assert may()
            assert not others.submit(may).result()
        assert others.submit(may).result()


def test_changes_past_vallum_are_seen_after_refresh(shop: vallum.Vallum) -> None:
    """Users, their groups and what rules have read."""
    leader = shop.policy.group_ids["trading.group_sale_manager"]
    shop.application.database.rows("INSERT INTO res_groups_users_rel (gid, uid) VALUES (%s, 3)", (leader,))
    assert not shop.as_user("marie").has_access("crm.lead", "unlink")
    shop.application.refresh()
    assert shop.as_user("marie").has_access("crm.lead", "unlink")


def test_records_that_rules_read_are_read_anew(shop: vallum.Vallum) -> None:
    """A rule about the people somebody leads follows when somebody else leads them."""
    sudo = shop.sudo()
    lucia = shop.as_user("lucia")
    lead = sudo.create("crm.lead", {"name": "x", "user_id": 8, "company_id": 2})
    assert not lucia.exists("crm.lead", [lead])
    mine = sudo.search("hr.employee", [("user_id", "=", 7)], active_test=False)
    theirs = sudo.search("hr.employee", [("user_id", "=", 8)], active_test=False)
    sudo.write("hr.employee", mine, {"company_id": 2})
    sudo.write("hr.employee", theirs, {"parent_id": mine[0], "company_id": 2})
    assert lucia.exists("crm.lead", [lead]) == [lead]


# Not for writing


def test_model_whose_versions_vallum_cannot_count_is_left_alone(shop: vallum.Vallum) -> None:
    """An ORM that relies on them would overwrite what it has not seen."""
    assert shop.application.storage is not None
    shop.application.storage = replace(shop.application.storage, unwritable={"crm.tag": "for a reason"})
    with pytest.raises(NotWritable, match="for a reason"):
        shop.sudo().write("crm.tag", [1], {"color": 2})
    with pytest.raises(NotWritable, match="for a reason"):
        shop.sudo().write("crm.lead", [1], {"tag_ids": [(0, 0, {"name": "x"})]})


def test_keys_without_the_right_to_make_their_table_are_refused(shop: vallum.Vallum) -> None:
    """With what to grant."""
    with shop.application.database.transaction() as connection:
        connection.execute("CREATE ROLE keyless")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO keyless")
        connection.execute("SET LOCAL ROLE keyless")
        with pytest.raises(NotWritable, match="grant it CREATE"):
            shop.as_user("marie").create("crm.tag", {"name": "x"}, key="k")


def test_application_opened_for_reading_takes_no_changes(company: str) -> None:
    """Unless it is asked for; reading what could be written still works."""
    with vallum.open(company, metadata=Base, policy=SECURITY) as opened:
        admin = opened.as_user("admin")
        for attempt in (
            lambda: admin.create("crm.tag", {"name": "x"}),
            lambda: admin.create("crm.tag", {"name": "x"}, key="k"),
            lambda: admin.write("crm.tag", [1], {"name": "x"}),
            lambda: admin.unlink("crm.tag", [1]),
            lambda: admin.copy("crm.tag", 1),
        ):
            with pytest.raises(NotWritable, match="writable=True"):
                attempt()
        assert admin.exists("crm.tag", [1]) == [1]
        assert admin.default_get("crm.lead", ["type"]) == {"type": "lead"}


def test_odoo_database_is_never_written_to(odoo18: OdooReference) -> None:
    """The reason is given: what belongs to a change is in Odoo's code."""
    with pytest.raises(NotWritable, match="Odoo's own code"):
        vallum.open(odoo18.dsn, registry=odoo18.registry, writable=True)
    with vallum.open(odoo18.dsn, registry=odoo18.registry) as opened:
        for attempt in (
            lambda: opened.sudo().create("res.partner", {"name": "x"}),
            lambda: opened.sudo().write("res.partner", [1], {"name": "x"}),
            lambda: opened.sudo().unlink("res.partner", [1]),
            lambda: opened.sudo().copy("res.partner", 1),
            lambda: opened.sudo().default_get("res.partner"),
        ):
            with pytest.raises(NotWritable, match="Odoo's own code"):
                attempt()
        assert opened.sudo().exists("res.partner", [1]) == [1]
        assert opened.application.database.readonly
