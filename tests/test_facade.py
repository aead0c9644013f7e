"""The library: open an application, see it as somebody, ask about everybody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

import vallum
from examples.trading import SECURITY, Base
from tests.support.company import METADATA
from tests.support.odoo import OdooReference
from vallum.kernel import (
    AccessDenied,
    CompanyNotAllowed,
    MalformedPolicy,
    MissingReference,
    NotAnOdooDatabase,
    Operation,
    SettingsError,
    UnknownModel,
    UnknownOperation,
    UnknownUser,
)


@pytest.fixture
def app(company: str) -> Iterator[vallum.Vallum]:
    with vallum.open(company, metadata=Base, policy=SECURITY) as opened:
        yield opened


# Opening


def test_import_loads_nothing_of_the_command_line() -> None:
    """A library that is imported costs what it needs."""
    script = (
        "import sys, vallum; before = set(sys.modules); vallum.open; "
        "print([m for m in ('sqlalchemy', 'psycopg') if m in before], "
        "[m for m in ('typer', 'rich', 'lxml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_unknown_attribute_is_one() -> None:
    """`vallum.opne` is a misprint, not a module."""
    with pytest.raises(AttributeError, match="opne"):
        vallum.opne  # type: ignore[attr-defined, unused-ignore]  # noqa: B018


def test_models_may_be_named_by_text(company: str) -> None:
    """As in vallum.toml."""
    with vallum.open(company, metadata=METADATA, policy=str(SECURITY)) as opened:
        assert len(opened.schema.models) == 20
        assert opened.policy.group_ids["trading.group_hr_manager"] in opened.policy.groups


def test_odoo_is_opened_with_its_registry(odoo18: OdooReference) -> None:
    """Version, users and policy are its own."""
    with vallum.open(odoo18.dsn, registry=odoo18.registry) as opened:
        assert opened.schema.version == 18
        assert opened.gaps == ()
        assert opened.as_user("admin").can("read", "res.partner").allowed
        assert "mail.message" in opened.inexact()


def test_odoo_without_registry_has_gaps(odoo19: OdooReference) -> None:
    """What is not known is said."""
    with vallum.open(odoo19.dsn) as opened:
        assert opened.gaps


def test_superuser_does_not_need_a_user(company: str, app: vallum.Vallum) -> None:
    """`sudo` is nobody in particular."""
    everything = app.sudo()
    assert everything.login == "superuser"
    assert everything.can("unlink", "res.users").superuser
    assert not everything.scope("read", "crm.lead").restricted
    assert "salary" in everything.fields("hr.employee")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metadata": Base}, "without a policy"),
        ({"metadata": Base.metadata, "policy": SECURITY}, "many2many"),
        ({"metadata": "examples.trading", "policy": SECURITY}, "nothing in it"),
        ({"metadata": Base, "policy": SECURITY, "registry": "x.json"}, "one of `registry` and `metadata`"),
        ({"policy": SECURITY}, "its own policy"),
    ],
)
def test_options_that_do_not_fit_are_refused(company: str, options: dict[str, object], said: str) -> None:
    """Each with what to do instead."""
    with pytest.raises(SettingsError, match=said):
        vallum.open(company, **options)  # type: ignore[arg-type]


def test_empty_database_is_no_odoo(pg_dsn: str) -> None:
    """And the place is said, without a password."""
    with pytest.raises(NotAnOdooDatabase) as caught:
        vallum.open(pg_dsn)
    assert "test_" in str(caught.value.where)


def test_folder_without_policy_is_refused(company: str, tmp_path: Path) -> None:
    """Nothing is not a policy."""
    with pytest.raises(MalformedPolicy):
        vallum.open(company, metadata=Base, policy=tmp_path)


def test_field_for_a_group_nobody_defines_is_refused(company: str, tmp_path: Path) -> None:
    """A misprint in a field's groups would otherwise shut it, or open it, unnoticed."""
    folder = tmp_path / "trading" / "security"
    folder.mkdir(parents=True)
    for path in SECURITY.iterdir():
        text = path.read_text(encoding="utf-8")
        (folder / path.name).write_text(text.replace("group_product_cost", "group_cost"), encoding="utf-8")
    with pytest.raises(MissingReference, match="group_product_cost"):
        vallum.open(company, metadata=Base, policy=folder)


def test_version_given_for_models_is_taken(company: str) -> None:
    """Whose semantics apply is the application's choice."""
    with vallum.open(company, metadata=Base, policy=SECURITY, odoo_version=19) as opened:
        assert opened.schema.version == 19


def test_version_given_against_the_database_is_refused(odoo18: OdooReference) -> None:
    """It is detected."""
    with pytest.raises(SettingsError, match="Odoo 18, not 19"):
        vallum.open(odoo18.dsn, odoo_version=19)


# Somebody's eyes


def test_users_see_their_own(app: vallum.Vallum) -> None:
    """Marie her leads and nobody's, paul all of the company, olaf none."""
    marie, paul = app.as_user("marie"), app.as_user("paul")
    assert 0 < marie.search_count("crm.lead") < paul.search_count("crm.lead")
    assert set(marie.search("crm.lead")) < set(paul.search("crm.lead"))
    assert not app.as_user("olaf").can("read", "crm.lead").allowed
    with pytest.raises(AccessDenied):
        app.as_user("olaf").search("crm.lead")


def test_session_reads_in_all_ways(app: vallum.Vallum) -> None:
    """The same records whichever way."""
    paul = app.as_user("paul")
    found = paul.search("crm.lead", limit=5, order="id")
    assert [r["id"] for r in paul.read("crm.lead", found, ["name"])] == found
    assert [r["id"] for r in paul.search_read("crm.lead", [], ["name"], limit=5, order="id")] == found
    assert list(paul.page("crm.lead", limit=5, order="id").ids) == found
    assert sum(g["__count"] for g in paul.read_group("crm.lead", [], ["stage_id"])) == paul.search_count(
        "crm.lead"
    )
    assert "name" in paul.fields_get("crm.lead")
    assert paul.name_search("res.partner", limit=3)


def test_fields_and_menus_are_those_open(app: vallum.Vallum) -> None:
    """Salaries for human resources, invoices for accounting."""
    assert "salary" in app.as_user("helene").fields("hr.employee")
    assert "salary" not in app.as_user("marie").fields("hr.employee")
    assert app.as_user("admin").menus()
    assert len(app.as_user("victor").menus()) < len(app.as_user("admin").menus())


def test_companies_are_those_switched_on(app: vallum.Vallum) -> None:
    """Isabel sees more with all of hers."""
    one, all_ = app.as_user("isabel", [1]), app.as_user("isabel", [1, 2, 3, 4])
    assert one.search_count("sale.order") < all_.search_count("sale.order")
    with pytest.raises(CompanyNotAllowed):
        app.as_user("marie", [2])


def test_scope_names_its_rules(app: vallum.Vallum) -> None:
    """The rules a restriction comes from."""
    scope = app.as_user("marie").scope("read", "crm.lead")
    assert scope.restricted
    assert [r.rule.xml_id for r in scope.global_rules] == ["trading.rule_crm_lead_company"]


def test_archived_users_and_companies_are_told_apart(app: vallum.Vallum) -> None:
    """Users inactive in the table are inactive here; companies come with their users."""
    assert not app.users.find("sam").active
    assert app.users.find("isabel").company_ids == (1, 2, 3, 4)
    assert app.users.find("bruno").partner_id


@pytest.mark.parametrize("name", ["delete", "READ", "", "reed"])
def test_unknown_operation_is_refused(app: vallum.Vallum, name: str) -> None:
    """Wherever one is taken."""
    for ask in (
        lambda: app.as_user("marie").can(name, "crm.lead"),
        lambda: app.as_user("marie").scope(name, "crm.lead"),
        lambda: app.explain("marie", name, "crm.lead"),
        lambda: app.who_can(name, "crm.lead"),
    ):
        with pytest.raises(UnknownOperation):
            ask()


def test_unknown_names_are_refused(app: vallum.Vallum) -> None:
    """With the nearest ones."""
    with pytest.raises(UnknownUser, match="use `marie`"):
        app.as_user("mari")
    with pytest.raises(UnknownUser):
        app.as_user(99)
    with pytest.raises(UnknownModel):
        app.as_user("marie").can("read", "crm.laed")


# Questions about everybody


def test_explanation_has_verdict_and_reasons(app: vallum.Vallum) -> None:
    """And takes an operation by name or as it is."""
    for operation in "read", Operation.READ:
        found = app.explain("olaf", operation, "crm.lead")
        assert not found.allowed
        assert found.reasons()
    assert app.explain("isabel", "read", "crm.lead", companies=[2]).actor.companies == (2,)


def test_explain_and_who_can_agree(app: vallum.Vallum) -> None:
    """Whoever can is allowed, and nobody else."""
    record = app.sudo().search("crm.lead", [("user_id.login", "=", "marie")], limit=1)[0]
    holders = {h.login for h in app.who_can("write", "crm.lead", record)}
    allowed = {
        u.login for u in app.users if u.active and app.explain(u.login, "write", "crm.lead", record).allowed
    }
    assert holders == allowed
    assert "marie" in holders


def test_snapshot_is_taken_and_written(app: vallum.Vallum, tmp_path: Path) -> None:
    """Of some users or of all."""
    path = tmp_path / "snapshot.json.gz"
    taken = app.snapshot(path, users=["marie", 4])
    assert [user.login for user in taken.users] == ["marie", "paul"]
    assert path.exists()
    with pytest.raises(UnknownUser):
        app.snapshot(users=["nobody"])


def test_check_binds_every_rule(app: vallum.Vallum) -> None:
    """The example company has no broken rule."""
    found = app.check()
    assert found.broken == ()
    assert found.rules == 74
    assert found.bound > 74


def test_check_finds_a_broken_rule(company: str, tmp_path: Path) -> None:
    """Which one, what is wrong, and whom it shuts out."""
    folder = tmp_path / "trading" / "security"
    folder.mkdir(parents=True)
    for path in SECURITY.iterdir():
        text = path.read_text(encoding="utf-8")
        text = text.replace("[('company_id', 'in', company_ids)]", "[('compny_id', 'in', company_ids)]", 1)
        (folder / path.name).write_text(text, encoding="utf-8")
    with vallum.open(company, metadata=Base, policy=folder) as opened:
        (broken,) = opened.check().broken
    assert broken.rule.xml_id == "trading.rule_sale_order_company"
    assert broken.error.code == "unknown-field"
    assert "marie" in broken.users


def test_threads_share_an_application(app: vallum.Vallum) -> None:
    """Each sees what its user sees."""
    expected = {login: app.as_user(login).search("crm.lead") for login in ("marie", "paul")}
    seen: list[bool] = []

    def look(login: str) -> None:
        for _ in range(10):
            seen.append(app.as_user(login).search("crm.lead") == expected[login])

    threads = [Thread(target=look, args=(login,)) for login in ("marie", "paul") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 40
