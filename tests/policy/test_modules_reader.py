"""Modules and policy folders become a policy: every shape, every bad input, nothing lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from vallum.kernel import (
    CyclicHierarchy,
    ForbiddenExpression,
    MalformedPolicy,
    MissingReference,
    Operation,
)
from vallum.policy import Menu, RecordRule
from vallum.policy.readers.modules import ModulesPolicy, read

Files = Mapping[str, str | bytes]

ALL = frozenset(Operation)
HEADER = "id,name,model_id:id,group_id:id,perm_read,perm_write,perm_create,perm_unlink"
USER = '<record id="base.group_user" model="res.groups"><field name="name">User</field></record>'


class Folder(Protocol):
    """Read a policy folder of one XML file, one CSV file of access rights and any others."""

    def __call__(
        self,
        xml: str = "",
        csv: str = "",
        *,
        files: Files | None = None,
        strict: bool = True,
        models: tuple[str, ...] = (),
    ) -> ModulesPolicy: ...


class Addons(Protocol):
    """Read an addons folder with these files."""

    def __call__(self, *modules: Files, strict: bool = True, demo: bool = False) -> ModulesPolicy: ...


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def _read(
        xml: str = "",
        csv: str = "",
        *,
        files: Files | None = None,
        strict: bool = True,
        models: tuple[str, ...] = (),
    ) -> ModulesPolicy:
        given: dict[str, str | bytes] = {"a.xml": f"<odoo>{USER}\n{xml}</odoo>", **(files or {})}
        if csv:
            given["ir.model.access.csv"] = csv
        _write(tmp_path / "security", given)
        return read([tmp_path / "security"], strict=strict, models=models)

    return _read


@pytest.fixture
def addons(tmp_path: Path) -> Addons:
    def _read(*modules: Files, strict: bool = True, demo: bool = False) -> ModulesPolicy:
        for files in modules:
            _write(tmp_path / "addons", files)
        return read([tmp_path / "addons"], strict=strict, demo=demo)

    return _read


def _module(name: str, files: Files, *, depends: tuple[str, ...] = (), **keys: object) -> Files:
    """A module whose manifest lists all its data files in this order."""
    data = [file for file in files if not file.endswith(".py")]
    manifest = repr({"name": name, "depends": list(depends), "data": data, **keys})
    return {f"{name}/__manifest__.py": manifest, **{f"{name}/{file}": text for file, text in files.items()}}


def _xml(content: str) -> Files:
    return {"data.xml": f"<odoo>{content}</odoo>"}


def _group(id: str, extra: str = "") -> str:
    return f'<record id="{id}" model="res.groups"><field name="name">{id}</field>{extra}</record>'


def _rule(domain: str = "[]", extra: str = "", *, id: str = "rule") -> str:
    return (
        f'<record id="{id}" model="ir.rule"><field name="name">R</field>'
        f'<field name="model_id" ref="model_sale_order"/>'
        f'<field name="domain_force">{domain}</field>{extra}</record>'
    )


def _rule_of(result: ModulesPolicy) -> RecordRule:
    (rule,) = result.policy.rules
    return rule


def _labels(result: ModulesPolicy, ids: frozenset[int]) -> set[str]:
    return {result.policy.groups[i].label for i in ids}


def _implied(result: ModulesPolicy, xml_id: str) -> set[str]:
    return _labels(result, result.policy.group(xml_id).implied)


def _menu(result: ModulesPolicy, xml_id: str) -> Menu:
    return next(m for m in result.policy.menus if m.xml_id == xml_id)


def _skipped(result: ModulesPolicy) -> list[tuple[str, str]]:
    return [(e.model, e.reason) for e in result.counts.skipped]


# -- access rights in CSV -------------------------------------------------------------------


def test_row_becomes_right(folder: Folder) -> None:
    """A row gives its group the operations with a 1, and says where it stands."""
    result = folder(csv=f"{HEADER}\norders,Orders,model_sale_order,base.group_user,1,0,1,0\n")
    (right,) = result.policy.rights
    assert (right.xml_id, right.name, right.model) == ("app.orders", "Orders", "sale.order")
    assert right.operations == {Operation.READ, Operation.CREATE}
    assert right.group == result.policy.group_ids["base.group_user"]
    assert right.source == "security/ir.model.access.csv:2"
    assert (result.counts.seen, result.counts.loaded, result.counts.skipped) == (2, 2, ())


@pytest.mark.parametrize(
    "csv",
    [
        HEADER.replace(":id", "/id") + "\nr,R,model_sale_order,base.group_user,1,1,1,1",
        HEADER + "\r\nr,R,model_sale_order,base.group_user,1,1,1,1\r\n",
        "\ufeff" + HEADER + "\n\n , ,,,,,,\nr,R,sale.model_sale_order,base.group_user,1,1,1,1\n\n",
        '"' + HEADER.replace(",", '","') + '"\n"r","R","model_sale_order","base.group_user",1,1,1,"1"',
        HEADER + "\nr,R, model_sale_order , base.group_user ,True,true,yes, 1 ,,",
        "perm_unlink,perm_create,perm_write,perm_read,model_id/id,id\n1,1,1,1,model_sale_order,r",
    ],
    ids=["slashes", "windows", "mark-and-blank-lines", "quoted", "words-and-spaces", "another-order"],
)
def test_ways_to_write_a_row_are_read_alike(folder: Folder, csv: str) -> None:
    """Headers, quotes, line ends and spellings of true make no difference."""
    (right,) = folder(csv=csv).policy.rights
    assert (right.xml_id, right.model, right.operations) == ("app.r", "sale.order", ALL)
    assert (right.group is not None) == ("base.group_user" in csv)


@pytest.mark.parametrize("no", ["0", "False", "", "no"])
def test_row_with_falsy_permission_gives_nothing(folder: Folder, no: str) -> None:
    """Neither 0 nor an empty cell is a right."""
    (right,) = folder(csv=f"{HEADER}\nr,R,model_sale_order,base.group_user,{no},{no},{no},{no}").policy.rights
    assert right.operations == frozenset()


def test_row_without_group_is_for_everyone(folder: Folder) -> None:
    """An empty group cell, and a missing group column, mean every user."""
    csv = "id,model_id:id,perm_read\nb,model_b,1"
    result = folder(csv=f"{HEADER}\na,A,model_a,,1,0,0,0", files={"more/ir.model.access.csv": csv})
    assert [(r.group, r.name, r.operations) for r in result.policy.rights] == [
        (None, "A", frozenset({Operation.READ})),
        (None, "app.b", frozenset({Operation.READ})),
    ]


def test_later_row_changes_the_fields_it_gives(folder: Folder) -> None:
    """A row with a known xml id overrides its own columns and no others."""
    result = folder(
        csv=f"{HEADER}\nr,R,model_a,base.group_user,1,1,1,1",
        files={"z/ir.model.access.csv": "id,perm_write\nr,0"},
    )
    (right,) = result.policy.rights
    assert right.operations == ALL - {Operation.WRITE}
    assert (result.counts.loaded, result.counts.merged) == (2, 1)


def test_inactive_row_is_skipped_with_reason(folder: Folder) -> None:
    """An archived right decides nothing, and the ledger says so."""
    result = folder(csv=f"{HEADER},active\nr,R,model_a,base.group_user,1,1,1,1,0")
    assert result.policy.rights == ()
    assert _skipped(result) == [("ir.model.access", "inactive")]


@pytest.mark.parametrize(
    ("csv", "line", "word"),
    [
        (f"{HEADER},perm_export\n", 1, "perm_export"),
        (HEADER.replace("model_id:id", "model_id"), 1, "model_id:id"),
        (HEADER.replace("model_id:id", "model_id/.id"), 1, "model_id:id"),
        (HEADER.replace("perm_read", "perm_read:id"), 1, "perm_read"),
        (HEADER.replace("id,name", "name"), 1, "`id`"),
        (f"{HEADER},name\n", 1, "twice"),
        (f"{HEADER}\nr,R,model_a,base.group_user,1,1,1", 2, "7 values for 8 columns"),
        (f"{HEADER}\nr,R,model_a,base.group_user,1,1,1,1,1", 2, "9 values for 8 columns"),
        (f"{HEADER}\n\nr,R,model_a,base.group_user,1,maybe,1,1", 3, "maybe"),
        (f'{HEADER}\n"r\n2",R,model_a,base.group_user,1,1,1,1', 2, "xml id"),
        (f"{HEADER}\nr,R,a.b.model_c,,1,1,1,1", 2, "xml id"),
        (f'{HEADER}\n"r,R,model_a', 2, "CSV"),
        (f'{HEADER}\n"r"x,R,model_a,,1,1,1,1', 2, "CSV"),
        (f"{HEADER}\nr,R,group_a,,1,1,1,1", 2, "model"),
        (f"{HEADER}\nr,R,,,1,1,1,1", 2, "model_id"),
    ],
)
def test_malformed_csv_names_the_line(folder: Folder, csv: str, line: int, word: str) -> None:
    """Whatever cannot be read is an error with file and line, never a guess."""
    with pytest.raises(MalformedPolicy, match=word) as caught:
        folder(csv=csv)
    assert caught.value.where == f"security/ir.model.access.csv:{line}"


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_csv_is_malformed(folder: Folder, raw: bytes) -> None:
    """A file without a header is a mistake, not an empty policy."""
    with pytest.raises(MalformedPolicy, match="empty") as caught:
        folder(files={"ir.model.access.csv": raw})
    assert caught.value.where == "security/ir.model.access.csv:1"


def test_cp1252_csv_names_the_line(folder: Folder) -> None:
    """Bytes that are no UTF-8 are refused where they stand."""
    raw = f"{HEADER}\na,A,model_a,,1,1,1,1\nb,Bé,model_b,,1,1,1,1".encode("cp1252")
    with pytest.raises(MalformedPolicy, match="UTF-8") as caught:
        folder(files={"ir.model.access.csv": raw})
    assert caught.value.where == "security/ir.model.access.csv:3"


def test_other_models_in_csv_are_read_or_skipped(folder: Folder) -> None:
    """The file's name says the model; what is not about security is accounted for."""
    result = folder(
        files={
            "b/res.groups.csv": "id,name,implied_ids/id,comment\n"
            'lead,Lead,"base.group_user,staff",hello\nstaff,Staff,,',
            "b/ir.rule-own.csv": "id,name,model_id:id,domain_force,groups:id,global\n"
            "own,Own,model_sale_order,\"[('user_id', '=', user.id)]\",lead,",
            "b/ir.ui.menu.csv": "id,name,sequence\nm,Menu,-3\n",
            "b/res.partner.csv": "id,name\nx",
        }
    )
    assert _implied(result, "app.lead") == {"base.group_user", "app.staff"}
    rule = _rule_of(result)
    assert rule.domain == "[('user_id', '=', user.id)]"
    assert _labels(result, rule.groups) == {"app.lead"}
    assert rule.operations == ALL
    assert _menu(result, "app.m").sequence == -3
    assert _skipped(result) == [("res.partner", "not part of the security model")]


def test_number_in_csv_must_be_whole(folder: Folder) -> None:
    with pytest.raises(MalformedPolicy, match="whole number"):
        folder(files={"ir.ui.menu.csv": "id,name,sequence\nm,Menu,first\n"})


# -- groups ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "implied"),
    [
        ("[(4, ref('a'))]", {"app.a"}),
        ("[(4, ref('app.a'), 0), (4, ref('b'), False)]", {"app.a", "app.b"}),
        ("[(6, 0, [ref('a'), ref('b')])]", {"app.a", "app.b"}),
        ("[ref('a'), ref('b')]", {"app.a", "app.b"}),
        ("[Command.link(ref('a')), Command.link(ref('b')), Command.unlink(ref('a'))]", {"app.b"}),
        ("[Command.link(ref('a')), Command.set([ref('b')])]", {"app.b"}),
        ("[(4, ref('a')), (3, ref('a'))]", set()),
        ("[(4, ref('a')), (5,)]", set()),
        ("[(4, ref('a')), (5, 0, 0), (4, ref('b'))]", {"app.b"}),
        ("[[4, ref('a')], Command.clear()]", set()),
        ("False", set()),
        ("[]", set()),
    ],
)
def test_implied_groups_follow_the_commands(folder: Folder, expression: str, implied: set[str]) -> None:
    """Every way to write links between records gives the groups Odoo would link."""
    top = _group("top", f'<field name="implied_ids" eval="{expression}"/>')
    assert _implied(folder(_group("a") + _group("b") + top), "app.top") == implied


@pytest.mark.parametrize(
    "expression",
    [
        "[(0, 0, {'name': 'x'})]",
        "[(4, 12)]",
        "[(6, 0, [1, 2])]",
        "[(2, ref('a'))]",
        "'a'",
        "[7]",
        "(4, ref('a'))",
    ],
)
def test_links_that_need_the_database_are_refused(folder: Folder, expression: str) -> None:
    """Ids of a database and records made on the way are no policy."""
    with pytest.raises(MalformedPolicy) as caught:
        folder(_group("a") + _group("top", f'\n<field name="implied_ids" eval="{expression}"/>'))
    assert caught.value.where == "security/a.xml:3"


def test_dependent_module_extends_group(addons: Addons) -> None:
    """A record of another module's xml id adds its links and keeps the rest."""
    result = addons(
        _module(
            "a_first",
            _xml(
                _group("high") + '<record id="z_base.user" model="res.groups">'
                '<field name="implied_ids" eval="[(4, ref(\'high\'))]"/></record>'
            ),
            depends=("z_base",),
        ),
        _module(
            "z_base",
            _xml(_group("low") + _group("user", "<field name='implied_ids' eval='[(4, ref(\"low\"))]'/>")),
        ),
    )
    assert result.modules == ("z_base", "a_first")
    assert _implied(result, "z_base.user") == {"z_base.low", "a_first.high"}
    assert result.policy.group("z_base.user").source == "z_base/data.xml:1"
    assert (result.counts.loaded, result.counts.merged) == (3, 1)


def test_ids_follow_the_order_of_appearance(folder: Folder) -> None:
    """The same files give the same ids and the same version."""
    xml = _group("b") + _group("a") + _rule(id="y") + _rule(id="x")
    first, second = folder(xml), folder(xml)
    assert first.policy.version == second.policy.version
    assert [(g.id, g.xml_id) for g in first.policy.groups.values()] == [
        (1, "base.group_user"),
        (2, "app.b"),
        (3, "app.a"),
    ]
    assert [(r.id, r.xml_id) for r in first.policy.rules] == [(1, "app.y"), (2, "app.x")]


def test_odoo_19_fields_of_groups_are_read(folder: Folder) -> None:
    """Privileges and users decide nothing here; `implied_by_ids` is the link from the other side."""
    result = folder(
        '<record id="p" model="res.groups.privilege"><field name="name">P</field></record>'
        + _group(
            "new",
            '<field name="privilege_id" ref="p"/><field name="user_ids" eval="[(4, obj().env.uid)]"/>'
            '<field name="implied_by_ids" eval="[(4, ref(\'base.group_user\'))]"/>',
        )
    )
    assert _implied(result, "base.group_user") == {"app.new"}
    assert _skipped(result) == [("res.groups.privilege", "not part of the security model")]
    assert result.notes == ()


def test_group_links_rules_and_menus_from_its_side(folder: Folder) -> None:
    """`rule_groups` and `menu_access` restrict the rule and the menu, `set` takes the group off others."""
    result = folder(
        _rule(id="one", extra='<field name="groups" eval="[(4, ref(\'g\'))]"/>')
        + _rule(id="two")
        + '<menuitem id="m" name="M"/>'
        + _group(
            "g",
            '<field name="rule_groups" eval="[(6, 0, [ref(\'two\')])]"/>'
            "<field name=\"menu_access\" eval=\"[(4, ref('m')), (3, ref('m')), (4, ref('m'))]\"/>",
        )
    )
    assert [(r.xml_id, _labels(result, r.groups)) for r in result.policy.rules] == [
        ("app.one", set()),
        ("app.two", {"app.g"}),
    ]
    assert _labels(result, _menu(result, "app.m").groups) == {"app.g"}


def test_groups_that_imply_each_other_are_refused(folder: Folder) -> None:
    link = "<field name='implied_ids' eval='[(4, ref(\"{}\"))]'/>"
    with pytest.raises(CyclicHierarchy, match=r"app\.a → app\.b → app\.a"):
        folder(_group("a", link.format("b")) + _group("b", link.format("a")))


def test_group_without_name_is_malformed(folder: Folder) -> None:
    """A record of this folder's own that defines nothing is a slip of the xml id."""
    with pytest.raises(MalformedPolicy, match=r"app\.g.*name"):
        folder('<record id="g" model="res.groups"><field name="comment">x</field></record>')


# -- record rules ---------------------------------------------------------------------------


def test_rule_is_read_whole(folder: Folder) -> None:
    """Model, groups and operations are Odoo's; an operation not named is included."""
    rule = _rule_of(
        result := folder(
            _rule(
                "[('user_id', '=', user.id)]",
                '<field name="groups" eval="[(4, ref(\'base.group_user\'))]"/>'
                '<field name="perm_read" eval="False"/><field name="perm_unlink">0</field>'
                '<field name="perm_write" eval="1"/><field name="global" eval="True"/>',
            )
        )
    )
    assert (rule.xml_id, rule.name, rule.model) == ("app.rule", "R", "sale.order")
    assert rule.operations == {Operation.WRITE, Operation.CREATE}
    assert _labels(result, rule.groups) == {"base.group_user"}
    assert rule.source == "security/a.xml:2"
    assert result.notes == (
        "security/a.xml:2: `app.model_sale_order` is taken for `sale.order`; no source names it",
    )


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("\n   [('a', '=', 1)]  ", "\n   [('a', '=', 1)]  "),
        ("['&amp;', ('a', '&lt;', 1), (1, '=', 1)]", "['&', ('a', '<', 1), (1, '=', 1)]"),
        ("<![CDATA[[('a', '<', 'é')]]]>", "[('a', '<', 'é')]"),
        ("[('a', '=', 1)]<!-- why -->", "[('a', '=', 1)]"),
        ("", "[]"),
    ],
)
def test_domain_is_kept_to_the_letter(folder: Folder, written: str, domain: str) -> None:
    """The text of a domain is what Odoo would store."""
    assert _rule_of(folder(_rule(written))).domain == domain


@pytest.mark.parametrize(
    ("expression", "domain"),
    [
        ("[('a', '=', -1)]", "[('a', '=', -1)]"),
        ("&quot;[('a', '=', 1)]&quot;", "[('a', '=', 1)]"),
        ("None", "[]"),
    ],
)
def test_evaluated_domain_becomes_text(folder: Folder, expression: str, domain: str) -> None:
    """A domain given by `eval` is stored as the text of its value."""
    xml = _rule().replace('<field name="domain_force"></field>', "")
    xml = xml.replace(
        '<field name="domain_force">[]</field>', f'<field name="domain_force" eval="{expression}"/>'
    )
    assert _rule_of(folder(xml)).domain == domain


def test_evaluated_domain_with_reference_is_refused(folder: Folder) -> None:
    """An id that only a database knows cannot be in a policy file's domain."""
    field = '<field name=\'domain_force\' eval=\'[("a", "=", ref("x"))]\'/>'
    with pytest.raises(MalformedPolicy, match="domain_force"):
        folder(_rule(extra=field))


def test_domain_after_comment_is_refused(folder: Folder) -> None:
    """Odoo reads a field up to its first comment: a domain behind it would be lost unseen."""
    with pytest.raises(MalformedPolicy, match="comment"):
        folder(_rule("<!-- own --> [('a', '=', 1)]"))


def test_rule_without_group_is_global(folder: Folder) -> None:
    assert _rule_of(folder(_rule())).is_global


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ('<field name="active" eval="False"/>', "inactive"),
        ('<field name="active">0</field>', "inactive"),
        (
            "".join(f'<field name="perm_{o}" eval="0"/>' for o in Operation),
            "a rule for no operation",
        ),
    ],
)
def test_rule_without_effect_is_skipped(folder: Folder, extra: str, reason: str) -> None:
    result = folder(_rule(extra=extra))
    assert result.policy.rules == ()
    assert _skipped(result) == [("ir.rule", reason)]


@pytest.mark.parametrize(
    "attributes",
    ['ref="sale.model_x"', "eval=\"ref('model_x')\"", "search=\"[('model', '=', 'x')]\" model=\"ir.model\""],
)
def test_model_of_rule_by_ref_eval_or_search(folder: Folder, attributes: str) -> None:
    xml = _rule().replace('ref="model_sale_order"', attributes)
    assert _rule_of(folder(xml)).model == "x"


@pytest.mark.parametrize(
    "field",
    [
        "<field name=\"model_id\" search=\"[('name', '=', 'X')]\"/>",
        '<field name="model_id">12</field>',
        '<field name="groups" search="[]"/>',
        '<field name="groups" ref="base.group_user"/>',
        '<field name="groups">base.group_user</field>',
        '<field name="domain_force" file="domain.txt"/>',
        '<field name="domain_force" type="base64">W10=</field>',
        '<field name="domain_force"><value>[]</value></field>',
        '<field name="domain_force" eval="12"/>',
        '<field name="perm_read">perhaps</field>',
        '<field name="perm_read" eval="\'perhaps\'"/>',
        '<field name="perm_read" eval="[]"/>',
        '<field name="model_id" ref="base.group_user"/>',
        '<field name="groups" eval="[(4, ref(\'rule\'))]"/>',
        '<field name="model_id" ref="a b"/>',
    ],
)
def test_field_that_is_not_read_is_an_error(folder: Folder, field: str) -> None:
    """A value in an unknown form stops the reading, with file and line."""
    with pytest.raises(MalformedPolicy) as caught:
        folder(_rule(extra=f"\n{field}"))
    assert caught.value.where == "security/a.xml:3"


def test_later_record_merges_into_the_first(addons: Addons) -> None:
    """A dependent module's record changes the fields it gives, noupdate or not."""
    result = addons(
        _module("sale", _xml(_group("g") + f'<data noupdate="1">{_rule("[(1, chr)]")}</data>')),
        _module(
            "sale_more",
            _xml(
                '<record id="sale.rule" model="ir.rule"><field name="domain_force">[(2)]</field>'
                '<field name="groups" eval="[(4, ref(\'sale.g\'))]"/></record>'
            ),
            depends=("sale",),
        ),
    )
    rule = _rule_of(result)
    assert (rule.domain, rule.name, rule.source) == ("[(2)]", "R", "sale/data.xml:1")
    assert _labels(result, rule.groups) == {"sale.g"}
    assert any("an update of that module keeps this change" in note for note in result.notes)
    assert (result.counts.loaded, result.counts.merged) == (2, 1)


def test_note_where_an_update_undoes_a_change(addons: Addons) -> None:
    """A noupdate record that changes an ordinary one is lost when that one's module is updated."""
    result = addons(
        _module("sale", _xml(_rule())),
        _module(
            "sale_more",
            {
                "data.xml": '<odoo noupdate="1"><record id="sale.rule" model="ir.rule">'
                '<field name="active" eval="False"/></record></odoo>'
            },
            depends=("sale",),
        ),
    )
    assert _skipped(result) == [("ir.rule", "inactive"), ("ir.rule", "inactive")]
    assert any("brings the first values back" in note for note in result.notes)


def test_xml_id_of_another_model_is_refused(folder: Folder) -> None:
    with pytest.raises(MalformedPolicy, match=r"res\.groups"):
        folder(_group("rule") + _rule())


def test_access_right_in_xml_is_read(folder: Folder) -> None:
    """`ir.model.access` records are rights like the rows of a CSV file."""
    result = folder(
        '<record id="r" model="ir.model.access"><field name="name">R</field>'
        '<field name="model_id" ref="model_a"/><field name="group_id" ref="base.group_user"/>'
        '<field name="perm_read" eval="1"/><field name="perm_write">True</field></record>'
        '<record model="ir.model.access"><field name="name">All</field>'
        '<field name="model_id" ref="model_a"/><field name="group_id" eval="False"/></record>'
    )
    assert [(r.xml_id, r.group is None, r.operations) for r in result.policy.rights] == [
        ("app.r", False, {Operation.READ, Operation.WRITE}),
        (None, True, frozenset()),
    ]


def test_nested_records_belong_to_the_record_around_them(folder: Folder) -> None:
    """Rights inside a model's or group's record point back at it."""
    result = folder(
        '<record id="model_a_b" model="ir.model"><field name="model">a_b</field>'
        '<field name="access_ids"><record id="r" model="ir.model.access"><field name="name">R</field>'
        "</record></field></record>"
        + _group(
            "g",
            '<field name="model_access"><record id="s" model="ir.model.access"><field name="name">S</field>'
            '<field name="model_id" ref="model_a_b"/></record></field>',
        )
        + '<record id="p" model="res.partner"><field name="x_rules">'
        + _rule()
        + "</field></record>"
    )
    assert [(r.xml_id, r.model) for r in result.policy.rights] == [("app.r", "a_b"), ("app.s", "a_b")]
    assert result.policy.rights[1].group == result.policy.group_ids["app.g"]
    assert _rule_of(result).xml_id == "app.rule"


def test_unknown_field_of_rule_is_noted(folder: Folder) -> None:
    """A field that an extension of `ir.rule` added may change what the rule means."""
    (note, _) = folder(_rule(extra='<field name="x_only_on" eval="whatever()"/>')).notes
    assert "x_only_on" in note


# -- model names ----------------------------------------------------------------------------


def test_source_of_module_names_the_model(addons: Addons) -> None:
    """`_name` in the source decides whether an underscore is a dot."""
    source = "class A(models.Model):\n    _name = _table = 'sale_more.order_line'\n"
    result = addons(
        _module(
            "sale_more", {**_xml(_rule().replace("sale_order", "sale_more_order_line")), "m/a.py": source}
        )
    )
    assert _rule_of(result).model == "sale_more.order_line"
    assert result.notes == ()


def test_given_models_name_the_model(folder: Folder) -> None:
    """A schema's model names settle the underscores."""
    assert _rule_of(folder(_rule(), models=("sale_order", "sale.orders"))).model == "sale_order"


def test_model_that_may_be_two_is_refused(folder: Folder) -> None:
    with pytest.raises(MalformedPolicy, match=r"`sale\.order` or `sale_order`"):
        folder(_rule(), models=("sale_order", "sale.order"))


def test_own_model_goes_before_a_like_named_one(addons: Addons) -> None:
    """An xml id's module means its own model where another's would be written alike."""
    result = addons(
        _module("one", {**_xml(_rule()), "a.py": "class A(M):\n    _name = 'sale.order'"}),
        _module("two", {"a.py": "class A(M):\n    _name = 'sale_order'"}),
    )
    assert _rule_of(result).model == "sale.order"


def test_record_of_model_names_the_model(folder: Folder) -> None:
    """An `ir.model` record says the name outright."""
    xml = '<record id="model_sale_order" model="ir.model"><field name="model">x_sale.order</field></record>'
    assert _rule_of(folder(xml + _rule())).model == "x_sale.order"


def test_settings_of_a_model_decide_nothing(folder: Folder) -> None:
    """A record that changes an unknown `ir.model` or action is skipped, not missing."""
    result = folder(
        '<record id="crm.model_crm_lead" model="ir.model"><field name="website_form_key">x</field></record>'
        '<record id="crm.act" model="ir.actions.act_window"><field name="context">{}</field></record>'
    )
    assert _skipped(result) == [
        ("ir.model", "not part of the security model"),
        ("ir.actions.act_window", "no menu opens this action"),
    ]


# -- menus ----------------------------------------------------------------------------------


def test_menus_know_parent_action_and_groups(folder: Folder) -> None:
    """A menu's action leads to the model that must be readable."""
    result = folder(
        _group("g")
        + _group("h")
        + '<record id="act" model="ir.actions.act_window"><field name="name">Orders</field>'
        '<field name="res_model">sale.order</field><field name="context">{ui}</field>'
        '<field name="groups_id" eval="[(4, ref(\'g\'))]"/></record>'
        '<record id="srv" model="ir.actions.server"><field name="name">Run</field>'
        '<field name="model_id" ref="model_a"/></record>'
        '<record id="rep" model="ir.actions.report"><field name="name">Print</field>'
        '<field name="model">b</field></record>'
        '<record id="url" model="ir.actions.act_url"><field name="name">Go</field></record>'
        '<record id="idle" model="ir.actions.client"><field name="name">Idle</field></record>'
        '<menuitem id="root" name="Root" web_icon="x,y.png" groups="g, h">'
        '<menuitem id="orders" action="act" sequence="3" groups="base.group_user,-g"/>'
        '<menuitem id="bare" active="0"><menuitem id="run" action="srv"/></menuitem></menuitem>'
        '<menuitem id="print" parent="app.root" action="app.rep" name="P"/>'
        '<record id="go" model="ir.ui.menu"><field name="name">Go</field><field name="parent_id" ref="root"/>'
        '<field name="action" ref="url"/><field name="group_ids" eval="[Command.link(ref(\'h\'))]"/>'
        '<field name="sequence" eval="7"/></record>'
    )
    menus = {m.xml_id: m for m in result.policy.menus}
    ids = {m.id: m.xml_id for m in result.policy.menus}
    actions = {n: (m.action.type, m.action.model) for n, m in menus.items() if m.action}
    assert actions == {
        "app.orders": ("ir.actions.act_window", "sale.order"),
        "app.run": ("ir.actions.server", "a"),
        "app.print": ("ir.actions.report", "b"),
        "app.go": ("ir.actions.act_url", None),
    }
    assert {n: m.parent and ids[m.parent] for n, m in menus.items()} == {
        "app.root": None,
        "app.orders": "app.root",
        "app.bare": "app.root",
        "app.run": "app.bare",
        "app.print": "app.root",
        "app.go": "app.root",
    }
    assert {n: (m.name, m.sequence, m.active) for n, m in menus.items()} == {
        "app.root": ("Root", 10, True),
        "app.orders": ("Orders", 3, True),
        "app.bare": ("bare", 10, False),
        "app.run": ("Run", 10, True),
        "app.print": ("P", 10, True),
        "app.go": ("Go", 7, True),
    }
    assert {n: _labels(result, m.groups) for n, m in menus.items() if m.groups} == {
        "app.root": {"app.g", "app.h"},
        "app.orders": {"base.group_user"},
        "app.go": {"app.h"},
    }
    orders = menus["app.orders"].action
    assert orders is not None
    assert _labels(result, orders.groups) == {"app.g"}
    assert _skipped(result) == [("ir.actions.client", "no menu opens this action")]


def test_menus_that_contain_each_other_are_refused(folder: Folder) -> None:
    with pytest.raises(CyclicHierarchy):
        folder('<menuitem id="a" parent="b" name="A"/><menuitem id="b" parent="a" name="B"/>')


@pytest.mark.parametrize(
    "xml",
    [
        '<menuitem name="A"/>',
        '<menuitem id="a" sequence="first"/>',
        '<menuitem id="a" parent="base.group_user"/>',
        '<menuitem id="a" action="base.group_user"/>',
        '<menuitem id="a.b.c"/>',
        '<record id="a"><field name="name">A</field></record>',
    ],
)
def test_malformed_element_names_the_line(folder: Folder, xml: str) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        folder(xml)
    assert caught.value.where == "security/a.xml:2"


# -- deletions and what is not read ---------------------------------------------------------


def test_deleted_record_is_gone(folder: Folder) -> None:
    """A record that a later element deletes decides nothing; both are accounted for."""
    result = folder(_rule() + '\n<delete model="ir.rule" id="rule"/><delete model="ir.rule" id="never"/>')
    assert result.policy.rules == ()
    assert _skipped(result) == [
        ("ir.rule", "deleted at security/a.xml:3"),
        ("ir.rule", "there is no such record to delete"),
    ]
    assert result.counts.merged == 1


def test_reference_to_deleted_group_is_missing(folder: Folder) -> None:
    """A rule never turns global because its group was deleted."""
    xml = _group("g") + _rule(extra='<field name="groups" eval="[(4, ref(\'g\'))]"/>')
    with pytest.raises(MissingReference, match=r"app\.g"):
        folder(xml + '<delete model="res.groups" id="g"/>')


def test_deletion_by_search_needs_a_database(folder: Folder) -> None:
    """It is refused, or noted where the reading is not strict."""
    xml = '<delete model="ir.rule" search="[]"/>'
    with pytest.raises(MalformedPolicy, match="search"):
        folder(xml)
    result = folder(xml, strict=False)
    assert _skipped(result) == [("ir.rule", "a search needs the database")]
    assert len(result.notes) == 1


def test_everything_else_is_skipped_with_reason(folder: Folder) -> None:
    """Views, functions, users and unknown elements have no effect, and say why."""
    result = folder(
        '<record id="v" model="ir.ui.view"><field name="name">V</field></record><template id="t"/>'
        '<record id="u" model="res.users"><field name="groups_id" eval="evil()"/></record>'
        '<function model="res.users" name="go"/><function model="ir.rule" name="write"/>'
        '<report id="r"/><delete model="res.partner" search="[]"/>'
    )
    irrelevant = "not part of the security model"
    assert _skipped(result) == [
        ("ir.ui.view", irrelevant),
        ("ir.ui.view", irrelevant),
        ("res.users", irrelevant),
        ("res.users", "`go` is code, which is not run"),
        ("ir.rule", "`write` is code, which is not run"),
        ("report", "an element Odoo passes over"),
        ("res.partner", irrelevant),
    ]
    assert len(result.notes) == 1
    assert result.counts.seen == 8


def test_record_that_is_not_forced_is_skipped(folder: Folder) -> None:
    """forcecreate="0" leaves out what refers to nothing, or amends nothing."""
    xml = _rule(extra='<field name="group_ref" ref="sale.nothing"/>').replace(
        "<record", '<record forcecreate="0"'
    )
    other = '<record id="sale.rule" model="ir.rule" forcecreate="False"><field name="name">X</field></record>'
    result = folder(xml + other)
    assert _skipped(result) == [
        ("ir.rule", "forcecreate is off and `sale.nothing` does not exist"),
        ("ir.rule", "forcecreate is off and there is no such record"),
    ]


def test_data_elements_nest(folder: Folder) -> None:
    """<openerp> and nested <data> are read like <odoo>."""
    old = f'<openerp><data noupdate="1"><data noupdate="0">{_rule()}</data></data></openerp>'
    assert _rule_of(folder(files={"old.xml": old})).xml_id == "app.rule"


# -- expressions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "open('x')",
        "ref('a').id",
        "ref(xml)",
        "ref('a', raise_if_not_found=False)",
        "[x for x in (1,)]",
        "'%d' % 1",
        "f'{1}'",
        "lambda: 1",
        "1 if 1 else 2",
        "[*[1]]",
        "{**{}}",
        "{1: 2}",
        "Command.evil(1)",
        "Command.link(1, 2)",
        "Command",
        "b'x'",
        "1j",
        "...",
        "-'x'",
        "not 1",
        "(x := 1)",
        "[",
        "",
        "1; 2",
        "[(4, ref('a'))] + []",
        "-" * 5000 + "1",
        "[" * 3000 + "]" * 3000,
        "1" + "+1" * 5000,
        "0," * 60_000,
    ],
)
def test_forbidden_expression_names_the_line(folder: Folder, expression: str) -> None:
    """Anything but literals, `ref` and `Command` is refused unseen, and nothing runs."""
    escaped = expression.replace("&", "&amp;").replace("<", "&lt;")
    with pytest.raises(ForbiddenExpression) as caught:
        folder(_rule(extra=f'\n<field name="groups" eval="{escaped}"/>'))
    assert caught.value.where == "security/a.xml:3"
    assert len(str(caught.value)) < 250


# -- XML files ------------------------------------------------------------------------------


def _laughs() -> str:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    head = f'<!DOCTYPE odoo [<!ENTITY l0 "ha">{entities}]>'
    return f'{head}<odoo><record id="&l11;" model="x">&l11;</record></odoo>'


@pytest.mark.parametrize(
    "xml",
    [
        "<!DOCTYPE odoo>\n<odoo/>",
        '<!DOCTYPE odoo SYSTEM "http://localhost:1/x.dtd">\n<odoo/>',
        '<!DOCTYPE odoo [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<odoo>&x;</odoo>',
        '<!DOCTYPE odoo [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>\n<odoo/>',
        '<!DOCTYPE odoo [<!ENTITY x "y">]>\n<odoo><record id="&x;" model="res.groups"/></odoo>',
        "<odoo>&unknown;</odoo>",
        _laughs(),
    ],
)
def test_document_types_and_entities_are_refused(folder: Folder, xml: str) -> None:
    """Nothing is expanded or fetched, however the file asks for it."""
    start = time.process_time()
    with pytest.raises(MalformedPolicy) as caught:
        folder(files={"evil.xml": xml})
    assert (caught.value.where or "").startswith("security/evil.xml:1")
    assert time.process_time() - start < 30  # a square would take minutes


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"", 1),
        (b"\n\n<odoo>\n<record>\n</odoo>", 5),
        (b"<odoo>\n\xe9</odoo>", 2),
        (b"<html>\n</html>", 1),
        (b"<odoo/><odoo/>", 1),
        (b"not xml", 1),
        (b'<odoo xmlns="urn:x"/>', 1),
    ],
)
def test_malformed_xml_names_the_line(folder: Folder, raw: bytes, line: int) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        folder(files={"bad.xml": raw})
    assert caught.value.where == f"security/bad.xml:{line}"


def test_deeply_nested_xml_is_refused(folder: Folder) -> None:
    """Depth cannot exhaust the stack."""
    with pytest.raises(MalformedPolicy):
        folder(files={"deep.xml": "<odoo>" + "<data>" * 5000 + "</data>" * 5000 + "</odoo>"})


def test_declared_encoding_of_xml_is_kept(folder: Folder) -> None:
    """A file that says it is cp1252 may be."""
    text = '<?xml version="1.0" encoding="windows-1252"?><odoo>' + _rule("[('a', '=', 'é')]") + "</odoo>"
    assert _rule_of(folder(files={"old.xml": text.encode("cp1252")})).domain == "[('a', '=', 'é')]"


# -- references -----------------------------------------------------------------------------

UNDEFINED = {
    "row": ("", f"{HEADER}\nr,R,model_a,base.nobody,1,1,1,1", "ir.model.access.csv:2", "group `base.nobody`"),
    "rule": (
        _rule(extra='\n<field name="groups" eval="[(4, ref(\'base.nobody\'))]"/>'),
        "",
        "a.xml:3",
        "group `base.nobody`",
    ),
    "implied": (
        _group("g", '\n<field name="implied_ids" eval="[(4, ref(\'base.nobody\'))]"/>'),
        "",
        "a.xml:3",
        "group `base.nobody`",
    ),
    "menu-group": ('<menuitem id="m" groups="base.nobody"/>', "", "a.xml:2", "group `base.nobody`"),
    "menu-parent": ('<menuitem id="m" parent="base.nobody"/>', "", "a.xml:2", "menu `base.nobody`"),
    "menu-action": ('<menuitem id="m" action="base.nobody"/>', "", "a.xml:2", "action `base.nobody`"),
    "changed-group": (
        '<record id="base.nobody" model="res.groups"><field name="comment">x</field></record>',
        "",
        "a.xml:2",
        "group `base.nobody`",
    ),
    "changed-rule": (
        '<record id="base.nobody" model="ir.rule"><field name="active" eval="0"/></record>',
        "",
        "a.xml:2",
        "`ir.rule` `base.nobody`",
    ),
    "changed-right": ("", "id,perm_read\nbase.nobody,1", "ir.model.access.csv:2", "base.nobody"),
    "changed-menu": (
        '<record id="base.nobody" model="ir.ui.menu"><field name="sequence" eval="1"/></record>',
        "",
        "a.xml:2",
        "menu `base.nobody`",
    ),
}


@pytest.mark.parametrize(("xml", "csv", "where", "what"), UNDEFINED.values(), ids=UNDEFINED)
def test_missing_reference_names_the_line(folder: Folder, xml: str, csv: str, where: str, what: str) -> None:
    """Strictly, an xml id that nothing defines is an error; otherwise it is listed as external."""
    with pytest.raises(MissingReference) as caught:
        folder(xml, csv)
    assert caught.value.where == f"security/{where}"
    assert what in str(caught.value)
    result = folder(xml, csv, strict=False)
    assert result.external == {"base.nobody"}
    assert result.counts.seen == result.counts.loaded + result.counts.merged + len(result.counts.skipped)


def test_missing_group_has_no_members_but_its_rights(folder: Folder) -> None:
    """A placeholder keeps the policy whole: the right is not for everyone, the rule not global."""
    result = folder(
        _rule(extra='<field name="groups" eval="[(4, ref(\'base.nobody\'))]"/>')
        + '<record id="base.somebody" model="res.groups">'
        '<field name="implied_ids" eval="[(4, ref(\'base.nobody\'))]"/></record>',
        f"{HEADER}\nr,R,model_a,base.nobody,1,1,1,1",
        strict=False,
    )
    nobody = result.policy.group("base.nobody").id
    assert _rule_of(result).groups == {nobody}
    assert result.policy.rights[0].group == nobody
    assert _implied(result, "base.somebody") == {"base.nobody"}
    assert result.external == {"base.nobody", "base.somebody"}


def test_missing_menus_and_actions_keep_the_tree(folder: Folder) -> None:
    """An unknown parent becomes a folder; an unknown action opens nothing, with a note."""
    result = folder('<menuitem id="m" name="M" parent="sale.root" action="sale.act"/>', strict=False)
    assert _menu(result, "app.m").parent == _menu(result, "sale.root").id
    assert _menu(result, "app.m").action is None
    assert result.external == {"sale.root", "sale.act"}
    assert len(result.notes) == 1


def test_missing_xml_id_cannot_be_two_things(folder: Folder) -> None:
    """One xml id is one record."""
    with pytest.raises(MalformedPolicy, match="menu and a group"):
        folder('<menuitem id="m" groups="sale.x" parent="sale.x"/>', strict=False)


def test_forward_reference_is_found(folder: Folder) -> None:
    """In a folder without a manifest the order of files does not matter."""
    result = folder(
        _rule(extra='<field name="groups" eval="[(4, ref(\'z\'))]"/>'),
        files={"z.xml": f"<odoo>{_group('z')}</odoo>"},
    )
    assert _labels(result, _rule_of(result).groups) == {"app.z"}


# -- modules --------------------------------------------------------------------------------


def test_modules_load_in_the_order_of_dependence(addons: Addons) -> None:
    """Dependencies first, then by name, as Odoo does."""
    result = addons(
        _module("a", {}, depends=("c", "web")),
        _module("b", {}),
        _module("c", {}, depends=("z",)),
        _module("z", {}),
    )
    assert result.modules == ("b", "z", "c", "a")


def test_modules_that_depend_on_each_other_are_refused(addons: Addons) -> None:
    with pytest.raises(CyclicHierarchy, match="a → b → a"):
        addons(
            _module("a", {}, depends=("b",)),
            _module("b", {}, depends=("a",)),
            _module("c", {}, depends=("a",)),
        )


def test_only_listed_data_is_loaded(addons: Addons) -> None:
    """Demonstration data on request only; files in no list are noted; SQL and others are skipped."""
    files: Files = {"data/x.sql": "DROP TABLE x", "data/y.yml": "", "data/z.csv": "a"}
    module = {
        **_module("sale", files, demo=["demo.xml"]),
        "sale/demo.xml": f"<odoo>{_rule()}</odoo>",
        "sale/security/forgotten.xml": f"<odoo>{_rule(id='other')}</odoo>",
    }
    result = addons(module)
    assert result.policy.rules == ()
    assert [(e.source, e.reason) for e in result.counts.skipped] == [
        ("sale/data/x.sql", "a .sql file is not read"),
        ("sale/data/y.yml", "a .yml file is not read"),
        ("sale/data/z.csv", "not part of the security model"),
        ("sale/demo.xml", "demonstration data"),
    ]
    assert result.notes == (
        "sale/data/x.sql: SQL may change the policy; not known",
        "sale/security/forgotten.xml: no `data` list names this file, so Odoo does not load it",
    )
    assert _rule_of(addons(demo=True)).xml_id == "sale.rule"


def test_module_that_is_not_installable_is_skipped(addons: Addons) -> None:
    result = addons(_module("old", _xml(_rule()), installable=False))
    assert result.policy.rules == ()
    assert _skipped(result) == [("ir.module.module", "the module is not installable")]


@pytest.mark.parametrize(
    ("manifest", "line"),
    [
        ("{'data': ['../secret.xml']}", 1),
        ("{\n'data': [\n'/etc/passwd']}", 3),
        ("{'data': ['missing.xml']}", 1),
        ("{'data': ['a\\0b.xml']}", 1),
        ("{'name': 'x',\n'data': 'a.xml'}", 2),
        ("{'data': [1]}", 1),
        ("{'data': open('x')}", 1),
        ("['data']", 1),
        ("{\n'data': 1 2}", 2),
        ("", 1),
        ("[" * 3000, 1),
        ("{[]: 1}", 1),
    ],
)
def test_malformed_manifest_names_the_line(addons: Addons, manifest: str, line: int) -> None:
    """A manifest is a literal, and its files are in its folder."""
    with pytest.raises(MalformedPolicy) as caught:
        addons({"sale/__manifest__.py": manifest, "secret.xml": f"<odoo>{_rule()}</odoo>"})
    assert (caught.value.where or "").startswith("sale/__manifest__.py:")
    if line > 1:
        assert caught.value.where == f"sale/__manifest__.py:{line}"


def test_link_out_of_the_module_is_refused(tmp_path: Path) -> None:
    """A symbolic link cannot bring in a file from elsewhere."""
    _write(tmp_path, {"secret.xml": f"<odoo>{_rule()}</odoo>", "p/a.xml": "<odoo/>"})
    (tmp_path / "p" / "b.xml").symlink_to(tmp_path / "secret.xml")
    with pytest.raises(MalformedPolicy, match="outside"):
        read([tmp_path / "p"])


def test_folders_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    """A mistyped path is an error, not a policy without rules."""
    with pytest.raises(MalformedPolicy, match="no folder"):
        read([tmp_path / "missing"])
    with pytest.raises(MalformedPolicy, match="no policy files"):
        read([tmp_path])
    _write(tmp_path, {".cache/a.xml": "<odoo/>"})
    with pytest.raises(MalformedPolicy, match="no policy files"):
        read([tmp_path])


def test_module_and_folder_are_read_together(tmp_path: Path) -> None:
    """Modules, addons folders and a policy folder make one policy; the folder has the last word."""
    _write(tmp_path / "addons", _module("sale", _xml(_rule() + _group("g"))))
    _write(
        tmp_path / "own",
        {
            "x.xml": '<odoo><record id="sale.rule" model="ir.rule">'
            '<field name="name">Mine</field></record></odoo>'
        },
    )
    result = read([tmp_path / "own", tmp_path / "addons", tmp_path / "addons" / "sale"], module="mine")
    assert result.modules == ("sale", "mine")
    assert _rule_of(result).name == "Mine"


def test_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "one", _module("sale", {}))
    _write(tmp_path / "two", _module("sale", {}))
    with pytest.raises(MalformedPolicy, match="two modules"):
        read([tmp_path / "one", tmp_path / "two"])


# -- field groups in Python source ----------------------------------------------------------

SOURCE = """
from odoo import fields, models
from odoo.fields import Char as Text

GROUP = "base.group_user"

class Mixin(models.AbstractModel):
    _name = "pay.mixin"
    secret = fields.Char(groups="base.group_user")
    plain = fields.Char()

class Slip(models.Model):
    _name = "hr.slip"
    _inherit = ["pay.mixin", "mail.thread"]
    _inherits = {"hr.person": "person_id"}
    wage: fields.Float = fields.Float("Wage", groups="base.group_user, "
                                                      "!pay.boss")
    both = fields.Char(groups=GROUP + ",pay.boss")
    text = Text(groups="pay.boss")
    other = something.Char(groups="pay.nobody")
    computed = fields.Char(groups=choose())
    nobody = fields.Char(groups=".")

class Person(models.Model):
    _name = "hr.person"
    phone = fields.Char(groups="pay.boss")

class Partner(models.Model):
    _inherit = "res.partner"
    vat = fields.Char(groups=GROUP)

class Single(models.Model):
    _inherit = ["res.users"]
    mail = fields.Char(groups="pay.boss")

class ResThing(models.Model):
    _inherit = ["a", "b"]
    mail = fields.Char(groups="pay.boss")

class Unknown(models.Model):
    _name = make_name()
    mail = fields.Char(groups="pay.boss")
"""


def test_field_groups_are_read_from_source(addons: Addons) -> None:
    """Groups written as text are known for every model that has the field; the others are noted."""
    result = addons(
        _module(
            "pay",
            {**_xml(USER + _group("boss")), "models/a.py": SOURCE, "tests/t.py": "(", "static/x.py": "("},
        )
    )
    assert {model: dict(own) for model, own in result.field_groups.items()} == {
        "pay.mixin": {"secret": "base.group_user"},
        "hr.slip": {
            "secret": "base.group_user",
            "wage": "base.group_user,!pay.boss",
            "both": "base.group_user,pay.boss",
            "text": "pay.boss",
            "nobody": ".",
            "phone": "pay.boss",
        },
        "hr.person": {"phone": "pay.boss"},
        "res.partner": {"vat": "base.group_user"},
        "res.users": {"mail": "pay.boss"},
        "res.thing": {"mail": "pay.boss"},
    }
    assert result.notes == (
        "pay/models/a.py:21: the groups of `computed` are computed; not known",
        "pay/models/a.py:42: the model of `mail` is computed; its groups are not known",
    )


def test_dependent_module_opens_a_field(addons: Addons) -> None:
    """A later class overrides the groups of a field; without the argument it leaves them."""
    first = (
        "class A(M):\n    _name = 'a'\n    x = fields.Char(groups='g.g')\n    y = fields.Char(groups='g.g')"
    )
    later = (
        "class A(M):\n    _inherit = 'a'\n    x = fields.Char(groups=False)\n    y = fields.Char(help='!')"
    )
    result = addons(
        _module("g", {**_xml(_group("g")), "a.py": first}), _module("h", {"a.py": later}, depends=("g",))
    )
    assert dict(result.field_groups["a"]) == {"x": "", "y": "g.g"}


def test_missing_group_of_field_names_the_line(addons: Addons) -> None:
    """A field's group that nothing defines is a missing reference like any other."""
    module = _module(
        "pay", {"a.py": "class A(M):\n    _name = 'a'\n    x = fields.Char(groups='base.nobody')"}
    )
    with pytest.raises(MissingReference) as caught:
        addons(module)
    assert caught.value.where == "pay/a.py:3"
    result = addons(strict=False)
    assert result.external == {"base.nobody"}
    assert result.policy.group("base.nobody").implied == frozenset()


@pytest.mark.parametrize("source", ["def (", "x = '\\\n", "\0", "(" * 3000, "-" * 50_000 + "1"])
def test_source_that_is_no_python_is_refused(addons: Addons, source: str) -> None:
    """Field groups that cannot be read are an error, or a note where the reading is not strict."""
    with pytest.raises(MalformedPolicy, match="Python") as caught:
        addons(_module("pay", {"a.py": source}))
    assert (caught.value.where or "").startswith("pay/a.py:")
    (note,) = addons(strict=False).notes
    assert "not Python source" in note


def test_source_is_never_run(addons: Addons, tmp_path: Path) -> None:
    """Reading a module executes none of it."""
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w')\n"
    addons({**_module("pay", {"__init__.py": trap, "a.py": trap, "b.py": "x = '\\d'\n"})})
    assert not (tmp_path / "sprung").exists()
