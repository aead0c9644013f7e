"""Attachments of real Odoo databases: shown to those by whom a search finds them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.roles.test_equality import ids_of
from tests.support.odoo import OdooReference
from tests.support.roles import Guarded, guarded, open_odoo
from vallum.enforce import Query
from vallum.kernel import AccessDenied
from vallum.postgres import EmbeddedServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[18, 19])
def odoo(request: pytest.FixtureRequest, pg_server: EmbeddedServer) -> Iterator[Guarded]:
    """An Odoo database as `apply` guards it by default, with attachments of many kinds of records."""
    reference: OdooReference = request.getfixturevalue(f"odoo{request.param}")
    name = f"files{request.param}_{os.getpid()}"
    dsn = pg_server.create_database(name, template=reference.template)
    _attach(dsn)
    application = open_odoo(dsn, reference.registry)
    with guarded(dsn, application) as found:
        yield found
    application.database.close()
    pg_server.drop_database(name)


def _attach(dsn: str) -> None:
    """To every record of some models, by several users, some public, some of fields, some of nothing."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        for model in ("res.partner", "crm.lead", "hr.employee", "project.task", "account.move", "ir.ui.view"):
            connection.execute(
                "INSERT INTO ir_attachment (name, type, res_model, res_id, create_uid, public, res_field)"
                " SELECT 'x', 'binary', %s, id, 1 + id %% 9, id %% 17 = 0,"
                " CASE WHEN id %% 13 = 0 THEN 'image_1920' END"
                f" FROM {model.replace('.', '_')} ORDER BY id LIMIT 300",
                (model,),
            )
        connection.execute(
            "INSERT INTO ir_attachment (name, type, res_model, res_id, create_uid, public)"
            " SELECT 'x', 'binary', CASE WHEN n % 2 = 0 THEN 'gone.model' END,"
            " CASE n % 3 WHEN 0 THEN 0 WHEN 1 THEN 5 END, u.id, false"
            " FROM res_users u, generate_series(1, 6) n"
        )


def test_every_user_sees_the_attachments_of_what_they_see(odoo: Guarded) -> None:
    """As Odoo's search finds them, but for those of models that are locked."""
    locked = {lock.model for lock in odoo.plan.locked}
    assert "ir.attachment" not in locked
    everything = dict(odoo.connection.execute("SELECT id, res_model FROM ir_attachment").fetchall())
    wrong, some, hidden = [], 0, 0
    for user in odoo.application.directory:
        if user.id == 1 or not user.active:
            continue
        actor = odoo.application.actor(user.id, sorted(user.company_ids) or None)
        try:
            found = Query(odoo.application, actor).search("ir.attachment", [], active_test=False)
            expected = [i for i in sorted(found) if everything[i] not in locked]
        except AccessDenied:
            expected = None
        odoo.become(user.id)
        mine = ids_of(odoo.connection, "ir_attachment")
        odoo.connection.execute("RESET ROLE")
        some, hidden = some + len(mine or ()), hidden + len(everything) - len(mine or ())
        if mine != expected:
            kinds = {everything[i] for i in set(mine or ()) ^ set(expected or ())}
            wrong.append((user.login, len(mine or ()), len(expected or ()), kinds))
    assert wrong == []
    assert some > 3_000
    assert hidden > 5_000
