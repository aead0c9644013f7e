"""A guarded session changes what the policy lets its actor change, and nothing by half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

import vallum
from examples.trading import models as m
from examples.trading.selling import tags_of_lead
from vallum.enforce.session import Guard
from vallum.kernel import AccessDenied

MARIE: Final = 3
Make = Callable[[Any, int], Any]
LEADS: Final[Any] = m.Lead.__table__


def first(session: orm.Session, entity: Any, *where: Any) -> Any:
    found = session.scalars(sa.select(entity).where(*where).order_by(entity.id)).first()
    assert found is not None
    return found


def test_records_in_scope_are_made_changed_and_deleted(guard: Guard) -> None:
    """With the actor as who made and changed them, whatever the code says."""
    with guard("sofia") as session:
        lead = m.Lead(name="new", company_id=1, create_uid=1)
        session.add(lead)
        session.flush()
        user = session.vallum_writes.criteria.actor.user_id
        session.expire_all()
        assert (lead.create_uid, lead.write_uid) == (user, user)
        lead.name = "renamed"
        session.flush()
        session.expire_all()
        assert lead.name == "renamed"
        session.delete(lead)
        session.flush()
        session.rollback()


def test_a_new_record_out_of_scope_is_taken_back(marie: orm.Session) -> None:
    """It was inserted to be looked at, and is gone with its whole flush."""
    marie.add_all(
        [m.Lead(name="mine", user_id=MARIE, company_id=1), m.Lead(name="his", user_id=4, company_id=1)]
    )
    with pytest.raises(AccessDenied, match="create"):
        marie.flush()
    marie.rollback()
    assert marie.scalar(sa.select(sa.func.count()).where(m.Lead.name.in_(["mine", "his"]))) == 0


def test_a_refused_insert_leaves_nothing_to_commit(marie: orm.Session, engine: sa.Engine) -> None:
    """Outside a flush too: code that swallows the error commits nothing of it."""
    with pytest.raises(AccessDenied):
        marie.execute(sa.insert(m.Lead).values(name="half", user_id=4, company_id=1))
    marie.commit()
    with orm.Session(engine) as other:
        assert other.scalar(sa.select(sa.func.count()).where(m.Lead.name == "half")) == 0


def test_rules_are_asked_of_the_record_as_it_was(guard: Guard, engine: sa.Engine) -> None:
    """Changing a record into scope does not make it one's own: the database's row decides."""
    with guard("nina") as session:
        invoice = sa.select(m.Invoice.id).limit(1)
        with pytest.raises(AccessDenied):
            session.execute(sa.update(m.Invoice).values(company_id=1).where(m.Invoice.id.in_(invoice)))
        session.rollback()
    with guard("marie") as session:
        lead = first(session, m.Lead, m.Lead.user_id == MARIE)
        own_id = lead.id
        with orm.Session(engine) as other, other.begin():
            other.execute(sa.update(m.Lead).where(m.Lead.id == own_id).values(user_id=4))
        lead.name = "still mine?"
        with pytest.raises(AccessDenied, match="write"):
            session.flush()
        session.rollback()
        with orm.Session(engine) as other, other.begin():
            other.execute(sa.update(m.Lead).where(m.Lead.id == own_id).values(user_id=MARIE))


def test_without_the_right_nothing_is_written(marie: orm.Session) -> None:
    """By objects, cascades and statements."""
    marie.add(m.Company(name="hers", partner_id=1))
    with pytest.raises(AccessDenied, match="create"):
        marie.flush()
    marie.rollback()
    user = first(marie, m.User)
    user.name = "x"
    with pytest.raises(AccessDenied, match="write"):
        marie.flush()
    marie.rollback()
    marie.delete(first(marie, m.Stage))
    with pytest.raises(AccessDenied, match="unlink"):
        marie.flush()


def test_a_shut_field_is_not_written(guard: Guard) -> None:
    """Neither by an object nor by a statement; the others are."""
    with guard("marie") as session:
        partner = first(session, m.Partner, m.Partner.company_id == 1)
        partner.credit_limit = 5
        with pytest.raises(AccessDenied, match="credit_limit"):
            session.flush()
        session.rollback()
        for values in ({m.Partner.credit_limit: 5}, {"credit_limit": 5}, {"credit_limit": m.Partner.id}):
            with pytest.raises(AccessDenied, match="credit_limit"):
                session.execute(sa.update(m.Partner).where(m.Partner.company_id == 1).values(values))
        with pytest.raises(AccessDenied, match="credit_limit"):
            session.execute(sa.insert(m.Partner), [{"name": "x", "credit_limit": 3}])
        session.rollback()


def test_a_bulk_statement_changes_what_it_finds_in_sight(
    marie: orm.Session, own: vallum.Vallum, engine: sa.Engine
) -> None:
    """Records that cannot be read are not met; if one that is met may not be written, none is."""
    mine = own.as_user("marie").search("crm.lead", active_test=False)
    done: Any = marie.execute(sa.update(m.Lead).values(contact_name="bulk"))
    assert done.rowcount == len(mine)
    assert sorted(marie.scalars(sa.select(m.Lead.id).where(m.Lead.contact_name == "bulk"))) == sorted(mine)
    uids = set(marie.scalars(sa.select(m.Lead.write_uid).where(m.Lead.contact_name == "bulk")))
    assert uids == {MARIE}
    with pytest.raises(AccessDenied):
        marie.execute(sa.delete(m.Order).where(m.Order.state == "sale"))


BULK: Final[dict[str, Make]] = {
    "an update of many by key": lambda s, hidden: s.execute(sa.update(m.Lead), [{"id": hidden, "name": "x"}]),
    "mappings": lambda s, hidden: s.bulk_update_mappings(m.Lead, [{"id": hidden, "name": "x"}]),
    "objects": lambda s, hidden: s.bulk_save_objects([m.Lead(name="x", user_id=4, company_id=1)]),
    "inserted mappings": lambda s, hidden: s.bulk_insert_mappings(
        m.Lead, [{"name": "x", "user_id": 4, "company_id": 1}] * 2
    ),
    "inserted rows": lambda s, hidden: s.execute(
        sa.insert(m.Lead), [{"name": "x", "user_id": 4, "company_id": 1}] * 2
    ),
    "inserted rows with what they return": lambda s, hidden: s.execute(
        sa.insert(m.Lead).returning(m.Lead.id), [{"name": "x", "user_id": 4, "company_id": 1}] * 2
    ),
    "an insert from a query": lambda s, hidden: s.execute(
        sa.insert(m.Lead).from_select(["name", "user_id"], sa.select(m.Lead.name, sa.literal(4)))
    ),
    "an upsert": lambda s, hidden: s.execute(
        postgresql.insert(m.Lead)
        .values(id=hidden, name="x")
        .on_conflict_do_update(index_elements=["id"], set_={"name": "x"})
    ),
    "a table": lambda s, hidden: s.execute(
        sa.update(LEADS).where(LEADS.c.id == sa.bindparam("i")).values(name="x"),
        [{"i": hidden}],
    ),
    "another primary key": lambda s, hidden: s.execute(
        sa.update(LEADS)
        .where(LEADS.c.id == sa.bindparam("i"), LEADS.c.id != sa.bindparam("j"))
        .values(name="x"),
        [{"i": hidden, "j": 0}],
    ),
    "a scalar": lambda s, hidden: s.scalar(
        sa.insert(LEADS).values(name="x", user_id=4, company_id=1).returning(LEADS.c.id)
    ),
    "values by position": lambda s, hidden: s.execute(sa.insert(LEADS).values([(1, 2)])),
    "a link": lambda s, hidden: s.execute(sa.insert(tags_of_lead), [{"lead_id": hidden, "tag_id": 1}]),
    "a link by values": lambda s, hidden: s.execute(sa.insert(tags_of_lead).values(lead_id=hidden, tag_id=1)),
    "all links": lambda s, hidden: s.execute(sa.delete(tags_of_lead)),
    "a changed link": lambda s, hidden: s.execute(sa.update(tags_of_lead).values(tag_id=1)),
    "a table without a policy": lambda s, hidden: s.execute(
        sa.insert(sa.table("other", sa.column("i"))).values(i=1)
    ),
    "a table of another schema": lambda s, hidden: s.execute(
        sa.delete(sa.table("crm_lead", sa.column("id"), schema="public"))
    ),
    "a deletion in a CTE": lambda s, hidden: s.execute(
        sa.select(sa.delete(m.Lead).returning(m.Lead.id).cte("gone").c.id)
    ),
}


@pytest.mark.parametrize("name", BULK)
def test_bulk_statements_out_of_scope_are_refused(
    marie: orm.Session, engine: sa.Engine, hidden: int, name: str
) -> None:
    """Each is checked row by row, or refused; nothing stays."""
    before = content(engine)
    with pytest.raises(AccessDenied):
        BULK[name](marie, hidden)
    marie.rollback()
    assert content(engine) == before


def content(engine: sa.Engine) -> Any:
    with orm.Session(engine) as session:
        leads = session.execute(
            sa.select(sa.func.count(), sa.func.max(m.Lead.write_date), sa.func.max(m.Lead.id))
        )
        names = session.scalar(sa.select(sa.func.count()).where(m.Lead.name == "x"))
        links = session.scalar(sa.select(sa.func.count()).select_from(tags_of_lead))
        return leads.one(), names, links


def test_relationships_are_changed_by_who_may_change_the_record(
    marie: orm.Session, guard: Guard, hidden: int
) -> None:
    """Links of one's own leads come and go; those of others' do not."""
    lead = first(marie, m.Lead, m.Lead.user_id == MARIE)
    lead.tag_ids = list(marie.scalars(sa.select(m.Tag).limit(2)))
    marie.flush()
    assert marie.scalar(sa.select(sa.func.count()).where(tags_of_lead.c.lead_id == lead.id)) == 2
    lead.tag_ids = []
    marie.flush()
    new = m.Lead(name="new", user_id=MARIE, company_id=1, tag_ids=[first(marie, m.Tag)])
    marie.add(new)
    marie.flush()
    assert [t.id for t in new.tag_ids] == [first(marie, m.Tag).id]


def test_an_id_is_never_changed(marie: orm.Session) -> None:
    """A record stays the one it is."""
    lead = first(marie, m.Lead, m.Lead.user_id == MARIE)
    lead.id = 10**6
    with pytest.raises(AccessDenied, match="id"):
        marie.flush()


def test_values_of_other_companies_are_not_overwritten(guard: Guard) -> None:
    """A company-dependent column is seen in part, so it is not written as a whole."""
    with guard("sofia") as session:
        product = first(session, m.Product)
        with pytest.raises(AccessDenied, match="standard_price"):
            session.execute(sa.update(m.Product).where(m.Product.id == product.id).values(standard_price={}))


def test_a_savepoint_takes_back_its_part(marie: orm.Session) -> None:
    """Nested transactions work as ever."""
    lead = first(marie, m.Lead, m.Lead.user_id == MARIE)
    old = lead.name
    inner = marie.begin_nested()
    lead.name = "inner"
    marie.flush()
    inner.rollback()
    assert lead.name == old


def test_an_insert_returns_its_rows_where_no_rule_is_in_the_way(guard: Guard) -> None:
    """Entities come back from statements of who may make any."""
    with guard("sofia") as session:
        made = session.scalars(sa.insert(m.Tag).returning(m.Tag), [{"name": "t1"}, {"name": "t2"}]).all()
        assert sorted(tag.name for tag in made) == ["t1", "t2"]
        session.rollback()


def test_a_conflict_that_does_nothing_gives_no_rights(marie: orm.Session, hidden: int) -> None:
    """A record that was there before is not one that was made."""
    insert = postgresql.insert(m.Lead).values(id=hidden, name="x").on_conflict_do_nothing()
    with pytest.raises(AccessDenied):
        marie.execute(insert)
    with pytest.raises(AccessDenied):
        marie.execute(sa.insert(tags_of_lead), [{"lead_id": hidden, "tag_id": 1}])


def test_bulk_inserts_in_scope_are_made(marie: orm.Session) -> None:
    """Many rows in one statement, each checked."""
    rows = [{"name": f"bulk {i}", "user_id": MARIE, "company_id": 1} for i in range(5)]
    marie.execute(sa.insert(m.Lead), rows)
    marie.bulk_insert_mappings(sa.inspect(m.Lead), rows)
    marie.execute(sa.insert(m.Lead).values(name="bulk x", user_id=MARIE, company_id=1))
    made = marie.scalars(sa.select(m.Lead.create_uid).where(m.Lead.name.like("bulk %"))).all()
    assert made == [MARIE] * 11


def test_users_that_are_committed_are_read_anew(own: vallum.Vallum, guard: Guard) -> None:
    """Whoever is dismissed in a guarded session is dismissed for everybody, once that is committed."""
    user = own.users.find("olga").id
    for active in (False, True):
        with guard("admin") as session:
            session.get_one(m.User, user).active = active
            session.flush()
            assert own.users.find(user).active is not active
            session.commit()
        assert own.users.find(user).active is active
