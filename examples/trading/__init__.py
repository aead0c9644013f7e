"""Limes Trading: a company to try Vallum on, from its models to ten million rows.

`models` are the application's SQLAlchemy models, `security/` its policy in Odoo's
format, `generate` fills a database. Nothing here imports Vallum.
"""

from pathlib import Path

from .generate import generate
from .models import Base

__all__ = ["SECURITY", "Base", "generate"]

SECURITY = Path(__file__).parent / "security"
