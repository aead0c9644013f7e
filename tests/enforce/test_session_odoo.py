"""A guarded session over an attached Odoo database: read as its users, never written."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import vallum
from tests.support.odoo import OdooReference
from vallum.kernel import AccessDenied, VallumError


@pytest.mark.slow
@pytest.mark.parametrize("version", [18, 19])
def test_every_user_reads_what_a_search_finds(version: int, request: pytest.FixtureRequest) -> None:
    """In every model with a table; where a search is refused, so is the statement."""
    reference: OdooReference = request.getfixturevalue(f"odoo{version}")
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(reference.dsn))
    compared = refused = 0
    with vallum.open(reference.dsn, registry=reference.registry) as opened:
        guard = opened.guard(engine)
        models = [m for m in opened.schema.models.values() if m.relation and not m.abstract and m.auto]
        for user in [u for u in opened.users if u.active][::3]:
            eyes = opened.as_user(user.id)
            with guard(user.id) as session:
                for model in models:
                    statement = sa.select(sa.table(model.table, sa.column("id")).c.id)
                    try:
                        expected = sorted(eyes.search(model.name, active_test=False))
                    except VallumError as error:
                        with pytest.raises(type(error)):
                            session.execute(statement)
                        refused += 1
                        continue
                    assert sorted(session.scalars(statement)) == expected, (user.login, model.name)
                    compared += 1
    engine.dispose()
    assert compared > 100
    assert refused > 100


def test_an_odoo_database_is_not_written(odoo18: OdooReference) -> None:
    """Not even by its administrator, or as the superuser."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(odoo18.dsn))
    partner = sa.table("res_partner", sa.column("id"), sa.column("name"))
    with vallum.open(odoo18.dsn, registry=odoo18.registry) as opened:
        for user in (1, 2):
            with opened.guard(orm.sessionmaker(engine))(user) as session:
                for statement in (
                    sa.update(partner).values(name="x"),
                    sa.delete(partner),
                    sa.insert(partner),
                ):
                    with pytest.raises(AccessDenied, match="Odoo"):
                        session.execute(statement)
    engine.dispose()
