"""Models and fields, and the readers that learn them from a database, a registry file or SQLAlchemy."""

from vallum.schema.model import *  # noqa: F403
from vallum.schema.model import __all__ as _model
from vallum.schema.storage import Column, Constraint, Default, Storage

__all__ = [*_model, "Column", "Constraint", "Default", "Storage"]
