"""The tables of provisioning, for SQLAlchemy to build statements from.

Pure. The tables themselves are made by the migrations of the area `sso`.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID

from vallum.postgres.migrations import SCHEMA

__all__ = ["GROUP", "MEMBER", "USER"]

_META: Final = sa.MetaData(schema=SCHEMA)

USER: Final = sa.Table(
    "scim_user",
    _META,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("provider_id", sa.Text),
    sa.Column("account_id", sa.BigInteger),
    sa.Column("name_key", sa.Text),
    sa.Column("external_id", sa.Text),
    sa.Column("active", sa.Boolean),
    sa.Column("data", JSONB),
    sa.Column("folded", JSONB),
    sa.Column("version", sa.Integer),
    sa.Column("created", sa.DateTime(timezone=True)),
    sa.Column("modified", sa.DateTime(timezone=True)),
)
GROUP: Final = sa.Table(
    "scim_group",
    _META,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("provider_id", sa.Text),
    sa.Column("name_key", sa.Text),
    sa.Column("external_id", sa.Text),
    sa.Column("data", JSONB),
    sa.Column("folded", JSONB),
    sa.Column("version", sa.Integer),
    sa.Column("created", sa.DateTime(timezone=True)),
    sa.Column("modified", sa.DateTime(timezone=True)),
)
MEMBER: Final = sa.Table(
    "scim_member",
    _META,
    sa.Column("group_id", UUID, primary_key=True),
    sa.Column("user_id", UUID, primary_key=True),
)
