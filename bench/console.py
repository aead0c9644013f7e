"""Pages of the console: server time at the 95th percentile, over an Odoo database and with 10,000 users.

Each page is asked for once, so that its statements are made, and then again in turn; the time is that of
the whole answer inside the process, rendering and compressing included. Needs the reference databases.
"""

from __future__ import annotations

import gzip
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.odoo import REFERENCE
from bench.server import scratch_server
from bench.table import Row

if TYPE_CHECKING:
    from litestar import Litestar

    from vallum.facade import Vallum
    from vallum.schema import Model

PAGES: Final = (
    "/",
    "/access",
    "/access?u=4000&m=60",
    "/access?q=demo",
    "/access?group=1",
    "/access?risk=escalates",
    "/access/explain?user=demo&model=res.partner&record=10",
    "/access/who-can?model=res.partner&record=10",
    "/access/who-can?model=sale.order&field=amount_total",
    "/people",
    "/people?from=100",
    "/people/6",
    "/groups",
    "/groups/1",
    "/data",
    "/data/res.partner",
    "/data/res.partner?q=a&order=name+asc",
    "/data/res.partner?group=country_id",
    "/data/res.partner/10",
    "/data/sale.order",
    "/data/crm.lead/5",
    "/data/res.partner?as=6",
    "/search?q=mar",
    "/me",
)
MANY: Final = 10_000


def run(*, quick: bool = False) -> list[Row]:
    """Rows for 30 and 10,000 users, and for what a browser loads first."""
    folder = Path(os.environ.get("VALLUM_ODOO_FIXTURES", REFERENCE.parent)) / "odoo18"
    if not (folder / "odoo18.dump").exists():
        return [Row("pages of the console", f"not measured: {folder.name} is not there")]
    import vallum

    rounds = 5 if quick else 20
    with scratch_server() as server:
        server.restore(folder / "odoo18.dump", "odoo18")
        with vallum.open(server.dsn("odoo18"), registry=folder / "registry.json.gz") as few:
            # First what nobody has asked before: afterwards statements and conditions are known.
            rows = [_cold("30 users, 526 models", few, quick=quick)]
            rows.append(_measured("30 users, 526 models", few, rounds))
            many = _many(few)
            rows.append(_cold("10,000 users, 526 models", many, quick=quick))
            rows.append(_measured("10,000 users, 526 models", many, rounds))
            rows.append(_first_load(few))
    return rows


def _many(few: Vallum) -> Vallum:
    """The same application with the users it has over and over, under other names."""
    from vallum.enforce import Application
    from vallum.facade import Vallum
    from vallum.policy import Directory

    known = few.application
    real = [user for user in known.directory if user.active and user.id > 1]
    more = [
        replace(real[i % len(real)], id=1_000_000 + i, login=f"user{i}@example.com", name=f"User {i}")
        for i in range(MANY - len(known.directory))
    ]
    return Vallum(
        Application(known.database, known.schema, known.policy, Directory([*known.directory, *more]))
    )


def _app(found: Vallum) -> Litestar:
    from litestar import Litestar

    from vallum.server.console import Site, console_pages
    from vallum.server.pages import Viewer, asset_handler

    user = found.users.find("admin")
    viewer = Viewer(user_id=user.id, login=user.login, name=user.name, csrf="bench", administrator=True)
    site = Site(vallum=found, odoo=True)
    handlers = console_pages().handlers(lambda: site, lambda _: viewer)
    return Litestar([*handlers, asset_handler()], openapi_config=None, logging_config=None)


def _measured(what: str, found: Vallum, rounds: int) -> Row:
    from litestar.testing import TestClient

    times: dict[str, list[float]] = {path: [] for path in PAGES}
    with TestClient(_app(found)) as client:
        for path in PAGES:
            _get(client, path)
        for _ in range(rounds):
            for path in PAGES:
                start = time.perf_counter()
                _get(client, path)
                times[path].append(time.perf_counter() - start)
    flat = sorted(t for each in times.values() for t in each)
    p95 = flat[int(len(flat) * 0.95)]
    slowest = max(times, key=lambda path: statistics.median(times[path]))
    middle = statistics.median(flat)
    slow = statistics.median(times[slowest])
    return Row(
        f"{len(PAGES)} pages of the console, {what}: 95th percentile",
        f"{p95 * 1000:.0f} ms (median {middle * 1000:.0f} ms; slowest `{slowest}` {slow * 1000:.0f} ms)",
        asked="≤ 150 ms",
        ok=p95 <= 0.15,
    )


def _cold(what: str, found: Vallum, *, quick: bool) -> Row:
    """Questions about a model by a person that nobody has asked before, each once."""
    from litestar.testing import TestClient

    rules = found.policy.rules_by_model
    models = [m for m in found.schema.models.values() if m.relation and not m.abstract and m.name in rules]
    models = sorted(models, key=lambda m: (-len(rules[m.name]), m.name))[: 8 if quick else 40]
    paths = [f"/access/explain?user=demo&model={m.name}&op=write" for m in models]
    paths += [f"/access/explain?user=demo&model={m.name}&record=1" for m in models if _has_record(found, m)]
    paths += [f"/data/{m.name}" for m in models]
    wall, busy = {}, {}
    with TestClient(_app(found)) as client:
        _settle(client)
        for path in paths:
            start, cpu = time.perf_counter(), time.process_time()
            assert client.get(path).status_code in (200, 403, 404, 422), path
            wall[path], busy[path] = time.perf_counter() - start, time.process_time() - cpu
    p95, worked = (sorted(each.values())[int(len(each) * 0.95)] for each in (wall, busy))
    slowest = max(wall, key=lambda path: wall[path])
    return Row(
        f"{len(paths)} first questions about {len(models)} models, {what}: 95th percentile",
        f"{p95 * 1000:.0f} ms ({worked * 1000:.0f} ms of them at work; slowest `{slowest}`"
        f" {wall[slowest] * 1000:.0f} ms)",
        asked="≤ 150 ms",
        ok=p95 <= 0.15,
    )


def _has_record(found: Vallum, model: Model) -> bool:
    return bool(found.sudo().search(model.name, [("id", "=", 1)], active_test=False))


def _settle(client: Any) -> None:
    """Home, until nothing is looked up beside it any more."""
    while "being looked up" in client.get("/").text:
        time.sleep(0.1)


def _get(client: Any, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)


def _first_load(found: Vallum) -> Row:
    from litestar.testing import TestClient

    from vallum.server.pages.assets import assets

    with TestClient(_app(found)) as client:
        page = len(gzip.compress(client.get("/access").content, 5))
    size = page + sum(len(asset.compressed) for asset in assets().values())
    return Row(
        "first load of the console: page, style, scripts, icons, compressed",
        f"{size / 1000:.0f} kB",
        asked="≤ 200 kB",
        ok=size <= 200_000,
    )
