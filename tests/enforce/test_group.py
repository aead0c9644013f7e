"""Groups and aggregates: those of the records found, no others."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

import vallum
from vallum.kernel import AccessDenied, MalformedDomain, UnknownField, UnsupportedDomain


@pytest.mark.parametrize("login", ["marie", "lucia", "isabel"])
def test_groups_add_up_to_the_records_found(app: vallum.Vallum, login: str) -> None:
    """Counts and sums are those of the records read one by one."""
    user = app.as_user(login)
    fields = ["stage_id", "type", "expected_revenue", "probability", "active"]
    records = user.search_read("crm.lead", [], fields, active_test=False)
    counts: Counter[object] = Counter()
    sums: defaultdict[object, float] = defaultdict(float)
    for record in records:
        key = (record["stage_id"], record["type"], record["active"])
        counts[key] += 1
        sums[key] += record["expected_revenue"]
    groups = user.read_group(
        "crm.lead",
        [],
        ["stage_id", "type", "active"],
        ["__count", "expected_revenue:sum", "probability:max", "id:array_agg", "active:bool_and"],
        active_test=False,
    )
    found = {(g["stage_id"], g["type"], g["active"]): g for g in groups}
    assert {key: group["__count"] for key, group in found.items()} == counts
    for key, group in found.items():
        assert group["expected_revenue:sum"] == pytest.approx(sums[key])
        assert len(group["id:array_agg"]) == group["__count"]
        assert group["active:bool_and"] is key[2]


def test_groups_come_in_the_order_of_what_they_are_grouped_by(app: vallum.Vallum) -> None:
    """A many2one in the order of its comodel; otherwise as told."""
    sudo = app.sudo()
    stages = [g["stage_id"][0] for g in sudo.read_group("crm.lead", [], ["stage_id"]) if g["stage_id"]]
    assert stages == [i for i in sudo.search("crm.stage") if i in set(stages)]
    counts = [g["__count"] for g in sudo.read_group("crm.lead", [], ["user_id"], order="__count desc")]
    assert counts == sorted(counts, reverse=True)
    groups = sudo.read_group("crm.lead", [], ["stage_id"], order="stage_id desc")
    assert [g["stage_id"] and g["stage_id"][0] for g in groups if g["stage_id"]] == stages[::-1]
    page = sudo.read_group("crm.lead", [], ["user_id"], limit=2, offset=1)
    assert page == sudo.read_group("crm.lead", [], ["user_id"])[1:3]
    with pytest.raises(UnknownField, match="cannot be ordered"):
        sudo.read_group("crm.lead", [], ["stage_id"], order="name")


@pytest.mark.parametrize("login", ["leo", "emma", "isabel"])
def test_many2many_groups_hide_what_is_out_of_scope(app: vallum.Vallum, login: str) -> None:
    """Records linked to nothing the actor may read are one group."""
    user, field = app.as_user(login), "message_partner_ids"
    groups = user.read_group("project.task", [], [field], active_test=False)
    expected: Counter[object] = Counter()
    for record in user.search_read("project.task", [], [field], active_test=False):
        for partner in record[field] or [False]:
            expected[partner] += 1
    assert {g[field] and g[field][0]: g["__count"] for g in groups} == expected
    assert all(g[field][1] for g in groups if g[field])


@pytest.mark.parametrize("granularity", ["hour", "day", "week", "month", "quarter", "year"])
def test_periods_are_those_of_the_time_zone(app: vallum.Vallum, granularity: str) -> None:
    """A moment in UTC may be another day, even another year, where the actor is."""
    marie = app.as_user("marie")
    assert marie.actor is not None
    zone = ZoneInfo(marie.actor.tz or "UTC")
    spec = f"create_date:{granularity}"
    expected: Counter[object] = Counter()
    for record in marie.search_read("crm.lead", [], ["create_date"]):
        local = record["create_date"].replace(tzinfo=ZoneInfo("UTC")).astimezone(zone)
        expected[_start(local.replace(tzinfo=None), granularity)] += 1
    found = {g[spec]: g["__count"] for g in marie.read_group("crm.lead", [], [spec])}
    assert found == expected


def _start(moment: datetime, granularity: str) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if granularity == "hour":
        return hour
    day = hour.replace(hour=0)
    match granularity:
        case "week":
            return datetime.fromordinal(day.toordinal() - day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            return day.replace(month=1, day=1)
    return day


def test_dates_are_grouped_as_dates(app: vallum.Vallum) -> None:
    """By months, unless told otherwise."""
    groups = app.sudo().read_group("crm.lead", [], ["date_deadline"], active_test=False)
    assert {type(g["date_deadline"]) for g in groups} <= {date, bool}
    assert all(g["date_deadline"].day == 1 for g in groups if g["date_deadline"])


def test_nothing_to_aggregate_is_one_empty_group(app: vallum.Vallum) -> None:
    """Counts are 0, all else is False."""
    specs = ["__count", "expected_revenue:sum", "name:count_distinct", "id:array_agg", "probability:avg"]
    (group,) = app.sudo().read_group("crm.lead", [("id", "=", 0)], [], specs)
    assert group == dict(zip(specs, [0, False, 0, [], False], strict=True))


def test_shut_fields_are_neither_grouped_by_nor_aggregated(app: vallum.Vallum) -> None:
    """Not counted either: whether they are set is theirs to tell."""
    marie = app.as_user("marie")
    for function in ("sum", "avg", "min", "max", "count", "count_distinct", "array_agg"):
        with pytest.raises(AccessDenied, match=r"sale\.order\.margin"):
            marie.read_group("sale.order", [], [], [f"margin:{function}"])
    with pytest.raises(AccessDenied, match=r"sale\.order\.margin"):
        marie.read_group("sale.order", [], ["margin"])


@pytest.mark.parametrize(
    "aggregate",
    ["name:sum", "active:max", "tag_ids:count", "id:sum", "expected_revenue:median", "expected_revenue", "*"],
)
def test_aggregates_must_make_sense(app: vallum.Vallum, aggregate: str) -> None:
    """Functions and what they apply to are a closed list."""
    with pytest.raises((MalformedDomain, UnsupportedDomain, UnknownField)):
        app.sudo().read_group("crm.lead", [], [], [aggregate])


@pytest.mark.parametrize(
    "group", ["order_ids", "name:month", "date_deadline:hour", "create_date:decade", "x"]
)
def test_groups_must_make_sense(app: vallum.Vallum, group: str) -> None:
    """As must what is grouped by."""
    with pytest.raises((MalformedDomain, UnsupportedDomain, UnknownField)):
        app.sudo().read_group("crm.lead", [], [group])
