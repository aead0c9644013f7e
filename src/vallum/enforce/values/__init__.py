"""Create, write and unlink as an actor: rights, rules, field groups and types hold for every change."""

from vallum.enforce.values.facade import Values

__all__ = ["Values"]
