"""The errors of Vallum: what happened, where, and how to mend it.

Pure. One root, a stable `code` per class, never a secret in a text.
Invariant: an error while deciding denies; a refusal is a `Decision` value,
except where a caller asked for data and gets `AccessDenied` instead.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AccessDenied",
    "CompanyNotAllowed",
    "Conflict",
    "ConnectionFailed",
    "ConstraintRefused",
    "CyclicHierarchy",
    "ForbiddenExpression",
    "InvalidValue",
    "KeyReused",
    "MalformedDomain",
    "MalformedPolicy",
    "MalformedRegistry",
    "MissingReference",
    "MissingValue",
    "NotAnOdooDatabase",
    "NotWritable",
    "ReadonlyField",
    "RegistryMismatch",
    "SettingsError",
    "UnknownField",
    "UnknownModel",
    "UnknownOperation",
    "UnknownOperator",
    "UnknownRecord",
    "UnknownUser",
    "UnsupportedDomain",
    "VallumError",
]


class VallumError(Exception):
    """Root of every error Vallum raises on purpose.

    >>> str(UnknownField("no field `ownr` on `sale.order`", where="rules.xml:12", fix="use `owner_id`"))
    'no field `ownr` on `sale.order` (at rules.xml:12); use `owner_id`'
    """

    code: ClassVar[str] = "error"

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text += f" (at {self.where})"
        if self.fix:
            text += f"; {self.fix}"
        return text

    def as_dict(self) -> dict[str, str | None]:
        """The error for a program: code, what, where, fix."""
        return {"code": self.code, "what": self.what, "where": self.where, "fix": self.fix}


class SettingsError(VallumError):
    """A setting, option or configuration file is wrong."""

    code = "settings"


class ConnectionFailed(VallumError):
    """PostgreSQL cannot be reached, or the connection was lost."""

    code = "connection-failed"


class NotAnOdooDatabase(VallumError):
    """The database lacks Odoo's own tables."""

    code = "not-an-odoo-database"


class MalformedRegistry(VallumError):
    """A registry file that cannot be read as one."""

    code = "malformed-registry"


class RegistryMismatch(VallumError):
    """The registry file describes another database."""

    code = "registry-mismatch"


class UnknownModel(VallumError):
    """A model the schema does not have."""

    code = "unknown-model"


class UnknownField(VallumError):
    """A field its model does not have."""

    code = "unknown-field"


class UnknownRecord(VallumError):
    """A record that does not exist."""

    code = "unknown-record"


class UnknownUser(VallumError):
    """A user the database does not have."""

    code = "unknown-user"


class UnknownOperation(VallumError):
    """An operation other than read, write, create and unlink."""

    code = "unknown-operation"


class UnknownOperator(VallumError):
    """An operator the domain language does not have, or not for this field."""

    code = "unknown-operator"


class MalformedDomain(VallumError):
    """A domain whose form or values are wrong."""

    code = "malformed-domain"


class InvalidValue(MalformedDomain):
    """A value that cannot be read as its field's type."""

    code = "invalid-value"


class UnsupportedDomain(VallumError):
    """A sound domain whose meaning lives in code Vallum has no implementation of."""

    code = "unsupported-domain"


class ForbiddenExpression(VallumError):
    """A rule expression with syntax or a name outside the allowed language."""

    code = "forbidden-expression"


class CyclicHierarchy(VallumError):
    """Groups, menus or records that are their own ancestors."""

    code = "cyclic-hierarchy"


class MalformedPolicy(VallumError):
    """A policy, or a policy file (CSV or XML), that cannot be read."""

    code = "malformed-policy"


class MissingReference(VallumError):
    """An xml id that nothing defines."""

    code = "missing-reference"


class CompanyNotAllowed(VallumError):
    """A company that is not among the user's."""

    code = "company-not-allowed"


class AccessDenied(VallumError):
    """The actor may not do this: no access right, a shut field, or a record out of scope."""

    code = "access-denied"


class NotWritable(VallumError):
    """An application that Vallum does not write to, or that was opened for reading only."""

    code = "not-writable"


class ReadonlyField(VallumError):
    """A field whose value is not for the caller to set."""

    code = "readonly-field"


class MissingValue(VallumError):
    """A required field without a value."""

    code = "missing-value"


class ConstraintRefused(VallumError):
    """A constraint of the database that refuses what was to be written."""

    code = "constraint"


class Conflict(VallumError):
    """Somebody else changed the records in the meantime. `ids`: which ones, where that is known."""

    code = "conflict"

    def __init__(
        self, what: str, *, ids: tuple[int, ...] = (), where: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.ids = ids


class KeyReused(VallumError):
    """An idempotency key that was used before, for something else."""

    code = "key-reused"
