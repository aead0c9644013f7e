"""A guarded SQLAlchemy session reads what `Query` reads, however it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import vallum
from examples.trading import models as m
from vallum.enforce.session import Guard
from vallum.kernel import AccessDenied

MODELS = [c for c in (getattr(m, name) for name in m.__all__) if c is not m.Base]


def url(dsn: str) -> sa.URL:
    """The DSN for SQLAlchemy."""
    return sa.make_url(dsn).set(drivername="postgresql+psycopg")


@pytest.fixture(scope="module")
def engine(company: str) -> Iterator[sa.Engine]:
    """The team's own engine."""
    made = sa.create_engine("postgresql+psycopg://", creator=lambda: __import__("psycopg").connect(company))
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def guarded(app: vallum.Vallum, engine: sa.Engine) -> Guard:
    """Sessions of the company's users."""
    return app.guard(orm.sessionmaker(engine))


def model_of(entity: Any) -> str:
    return str(entity.__table__.info["model"])


def test_every_user_reads_the_scope_of_every_model(app: vallum.Vallum, guarded: Guard) -> None:
    """The ids of each model are those of the user's search; where no right grants reading, it is refused."""
    compared = refused = 0
    for user in app.users:
        eyes = app.as_user(user.id)
        with guarded(user.id) as session:
            for entity in MODELS:
                try:
                    expected = sorted(eyes.search(model_of(entity), active_test=False))
                except AccessDenied:
                    with pytest.raises(AccessDenied):
                        session.scalars(sa.select(entity.id)).all()
                    refused += 1
                    continue
                assert sorted(session.scalars(sa.select(entity.id))) == expected, (user.login, entity)
                compared += 1
    assert compared > 200
    assert refused > 50


def test_an_entity_is_loaded_without_its_shut_columns(guarded: Guard) -> None:
    """And reading one is refused, before and after a commit; the others go on being read."""
    with guarded("marie") as session:
        one = session.scalars(sa.select(m.Employee).order_by(m.Employee.id)).first()
        assert one is not None
        assert one.name
        assert "salary" not in sa.inspect(one).dict
        for _ in range(2):
            with pytest.raises(AccessDenied, match="salary"):
                _ = one.salary
            session.commit()
            with pytest.raises(AccessDenied, match="salary"):
                _ = one.salary
            assert one.name
        session.refresh(one)
        with pytest.raises(AccessDenied, match="salary"):
            session.refresh(one, ["salary"])
