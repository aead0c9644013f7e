"""The server: the policy behind HTTPS, spoken to as Odoo is, and shown to people in pages."""

from vallum.server.process import Prepared, prepared, run

__all__ = ["Prepared", "prepared", "run"]
