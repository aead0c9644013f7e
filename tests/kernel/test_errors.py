"""Errors: what, where, fix, and a code of their own."""

from __future__ import annotations

from vallum import kernel
from vallum.kernel import UnknownField, VallumError


def test_error_says_what_where_and_fix() -> None:
    """A text for people and a form for programs."""
    error = UnknownField("no field `ownr`", where="rules.xml:12", fix="use `owner_id`")
    assert str(error) == "no field `ownr` (at rules.xml:12); use `owner_id`"
    assert error.as_dict() == {
        "code": "unknown-field",
        "what": "no field `ownr`",
        "where": "rules.xml:12",
        "fix": "use `owner_id`",
    }


def test_every_error_has_a_code_of_its_own() -> None:
    """Programs tell errors apart by their code."""
    errors = [kind for name in kernel.__all__ if isinstance(kind := getattr(kernel, name), type)]
    codes = [kind.code for kind in errors if issubclass(kind, VallumError)]
    assert len(codes) > 10
    assert len(codes) == len(set(codes))
