"""Check what many2one fields shall lead to: records that exist and that the actor may read.

A record out of sight and one that does not exist are refused with the same words, so that nobody learns
by writing which ids there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vallum.domain.lower import model_field
from vallum.enforce.query.check import check
from vallum.enforce.values.call import Call
from vallum.kernel import InvalidValue, Operation, UnsupportedDomain
from vallum.schema import Field, Model

__all__ = ["check_targets"]


def check_targets(
    call: Call,
    model: Model,
    records: Iterable[Mapping[str, Any]],
    trusted: frozenset[str],
    document_models: Callable[[str], Iterable[str]] = lambda _: (),
) -> None:
    """Check the records that parsed values lead to. `document_models`: the models that a field names now.

    Raises: AccessDenied, UnknownRecord (superuser only), InvalidValue.
    """
    wanted: dict[str, dict[int, None]] = {}
    for values in records:
        for name, value in values.items():
            if value is not None and name not in trusted:
                for comodel, target in _targets(model.field(name), model, value, values, document_models):
                    wanted.setdefault(comodel, {})[target] = None
    for comodel, ids in wanted.items():
        check(call.eyes, comodel, ids, Operation.READ)


def _targets(
    field: Field,
    model: Model,
    value: Any,
    values: Mapping[str, Any],
    document_models: Callable[[str], Iterable[str]],
) -> Iterable[tuple[str, int]]:
    match field.type:
        case "many2one":
            return [(field.comodel or "", value)]
        case "reference":
            comodel, _, number = value.partition(",")
            return [(comodel, int(number))]
        case "many2one_reference":
            return _documents(field, model, value, values, document_models)
    return ()


def _documents(
    field: Field,
    model: Model,
    value: Any,
    values: Mapping[str, Any],
    document_models: Callable[[str], Iterable[str]],
) -> Iterable[tuple[str, int]]:
    try:
        name = model_field(model, field)
    except UnsupportedDomain as error:
        raise InvalidValue(f"the model that `{field}` points into is not known") from error
    models = [values[name]] if name in values else list(document_models(name))
    if not models or None in models:
        raise InvalidValue(f"`{field}` points into a model that is not given", fix=f"give `{name}` as well")
    return [(comodel, value) for comodel in models]
