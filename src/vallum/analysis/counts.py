"""How many records pass each of many conditions, some of them in one reading of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from vallum.domain import Filter, root
from vallum.domain.sql import Scope
from vallum.enforce import Application
from vallum.enforce.attempt import as_error, attempt
from vallum.enforce.statement import compiled
from vallum.kernel import Progress
from vallum.schema import Model

__all__ = ["count_records"]

_AT_ONCE: Final = 25


def count_records(
    application: Application, model: Model, filters: Sequence[Filter], progress: Progress
) -> dict[Filter, int]:
    """The number of records per filter; one that PostgreSQL refuses is left out.

    Raises: ConnectionFailed.
    """
    progress.start(len(filters), "counts")
    found: dict[Filter, int] = {}
    for start in range(0, len(filters), _AT_ONCE):
        part = filters[start : start + _AT_ONCE]
        found.update(_counted(application, model, part))
        progress.advance(len(part))
    return found


def _counted(application: Application, model: Model, filters: Sequence[Filter]) -> dict[Filter, int]:
    """All at once; where PostgreSQL refuses, by halves until the filter it refuses is alone."""
    try:
        scope = Scope(root(model))
        numbers = [sa.func.count().filter(scope.where(f)) for f in filters]
        statement = sa.select(*numbers).select_from(scope.from_clause())
        with attempt(application.database):
            row = application.database.rows(*compiled(statement))[0]
    except Exception as error:
        as_error(error)
        if len(filters) == 1:
            return {}
        half = len(filters) // 2
        return _counted(application, model, filters[:half]) | _counted(application, model, filters[half:])
    return dict(zip(filters, row, strict=True))
