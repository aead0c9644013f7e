"""`vallum demo --serve`: the example company behind the server, its trail kept, some of it just changed.

For trying out, on loopback alone: there is no TLS, and nobody needs a second factor.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

import vallum
from vallum.cli.shell import Shell
from vallum.kernel import Settings
from vallum.postgres import default_folder

if TYPE_CHECKING:
    from vallum.facade.audit import Audit

__all__ = ["serve"]

METADATA: Final = "examples.trading:Base"
_AUDITED: Final = ("sale_order", "sale_order_line", "crm_lead", "hr_employee", "res_partner", "account_move")


def serve(shell: Shell, dsn: str, trading: Any, port: int) -> None:
    """Serve the company until the process is told to end."""
    from vallum.facade.audit import Audit
    from vallum.server import prepared, run

    # As the server of the project: another checkout has another company, and another trail.
    project = default_folder(shell.settings.data_dir, shell.settings.project).name
    folder = shell.settings.data_dir / "demo" / project / dsn.partition("?")[0].rpartition("/")[2]
    settings = Settings.load(
        environ={"VALLUM_DATA_DIR": str(folder)},
        overrides={
            "dsn": dsn,
            "metadata": METADATA,
            "policy": [trading.SECURITY],
            "listen": f"127.0.0.1:{port}",
            "plain_http": True,
            "audit_dir": folder / "audit",
            "identity": {"url": f"http://localhost:{port}", "factors": {"required": "optional"}},
        },
    )
    audit = Audit(dsn, folder / "audit")
    if not audit.home.actor_key.exists() or not _is_enabled(audit):
        # The trail of a company that is gone.
        shutil.rmtree(folder / "audit", ignore_errors=True)
        _begin(audit, trading)
    with prepared(settings) as ready:
        shell.show("", f"The console is at http://localhost:{port}", "")
        if ready.first_link is not None:
            shell.show("Sign in as admin by this link, once:", Text(ready.first_link, no_wrap=True), "")
        shell.show("Ctrl-C ends it.")
        run(ready)


def _is_enabled(audit: Audit) -> bool:
    from vallum.audit import AuditRefused

    try:
        return bool(audit.audited())
    except AuditRefused:
        return False


def _begin(audit: Audit, trading: Any) -> None:
    """Audit the tables that matter, and let some people work."""
    audit.enable(audit.plan(audit.wanted((), _AUDITED)), "log.example/limes-trading")
    with vallum.open(audit.dsn, metadata=trading.Base, policy=trading.SECURITY, writable=True) as company:
        company.application.stamps.append(audit.stamp())
        paul, sofia, helene = (company.as_user(login) for login in ("paul", "sofia", "helene"))
        for lead in paul.search("crm.lead", [("user_id.login", "=", "marie")], limit=3):
            paul.write("crm.lead", [lead], {"priority": "3", "contact_name": "Claudia Vitale"})
        for order in sofia.search("sale.order", [("state", "=", "draft")], limit=3):
            sofia.write("sale.order", [order], {"state": "sent"})
        for employee in helene.search("hr.employee", [], limit=2):
            salary = helene.read("hr.employee", [employee], ["salary"])[0]["salary"] or 40_000
            helene.write("hr.employee", [employee], {"salary": float(salary) + 1_500})
