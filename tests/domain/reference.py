"""What a domain finds, by Odoo's documented rules, read record by record.

Knows nothing of Vallum's compiler: domains are read from their prefix lists, and rows from
plain values. Searches are the superuser's. Odoo 19 has two truth values (what is not found is
found by the opposite); 18 leaves SQL's third one wherever a negation has no opposite operator.
"""

from __future__ import annotations

from typing import Any

from tests.domain.reference_values import FALSY, NEGATIVE, OPPOSITES, Values

INEQUALITIES = {"<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class Reference(Values):
    """A world of plain rows and the searches in it."""

    def search(self, model: Any, domain: Any, active_test: bool = True) -> set[int]:
        mentioned = any(item[0] == "active" for item in domain if not isinstance(item, str))
        tree = self.merged(self.tree(domain, model), model)
        return self.found(model, tree, active_test, active_test and not mentioned)

    def found(self, model: Any, tree: Any, active_test: bool, filtering: bool) -> set[int]:
        if model.active_name and filtering and "active" not in {leaf[1] for leaf in _leaves(tree)}:
            tree = ("&", [tree, ("=", "active", True)])
        return {i for i in self.tables[model.table] if self.holds(model, i, tree, active_test) is True}

    # a domain as a tree: ("?", truth), ("&" or "|", trees), ("!", tree), (operator, field, value)

    def tree(self, domain: Any, model: Any) -> Any:
        stack: list[Any] = []
        for item in reversed(domain):
            if item == "!":
                stack.append(self.opposite(stack.pop(), model))
            elif item in ("&", "|"):
                stack.append((item, [stack.pop(), stack.pop()]))
            else:
                stack.append(self.leaf(item, model))
        return ("&", stack[::-1])

    def leaf(self, item: Any, model: Any) -> Any:
        path, operator, value = item
        if path in (0, 1):
            return ("?", bool(path))
        head, _, rest = path.partition(".")
        field = model.fields[head]
        if rest:
            return ("any", head, self.leaf((rest, operator, value), self.comodel(field)))
        if operator in ("any", "not any"):
            return (operator, head, self.tree(value, self.comodel(field)))
        if operator == "=?" and not self.old:
            return ("=", head, value) if value else ("?", True)
        if operator in ("=", "!=") and isinstance(value, list):
            operator = "in" if operator == "=" else "not in"
        return (operator, head, value)

    def opposite(self, tree: Any, model: Any) -> Any:
        match tree:
            case ("?", truth):
                return ("?", not truth)
            case ("!", inner):
                return inner
            case ("&" | "|" as sign, parts):
                return ("|" if sign == "&" else "&", [self.opposite(p, model) for p in parts])
            case ("=?", name, value):
                return ("!=", name, value) if value else ("?", False)
            case (operator, name, value) if operator in OPPOSITES:
                return (OPPOSITES[operator], name, value)
            case (operator, name, value) if operator in INEQUALITIES:
                field = model.fields[name]
                if self.old or (field.related and not field.inherited):
                    return (INEQUALITIES[operator], name, value)
        return ("!", tree)

    def merged(self, tree: Any, model: Any) -> Any:
        """Several `any` of one field are asked at once: it decides on which inactive lines count."""
        if tree[0] in ("any", "not any"):
            return (tree[0], tree[1], self.merged(tree[2], self.comodel(model.fields[tree[1]])))
        if tree[0] not in ("&", "|"):
            return tree
        parts: list[Any] = []
        groups: dict[Any, list[Any]] = {}
        for part in (self.merged(p, model) for p in tree[1]):
            for child in part[1] if part[0] == tree[0] else [part]:
                if child[0] in ("any", "not any"):
                    groups.setdefault(child[:2], []).append(child[2])
                else:
                    parts.append(child)
        for (operator, name), values in groups.items():
            field = model.fields[name]
            sign = "|" if (operator == "any") == (tree[0] == "|") else "&"
            if len(values) > 1 and (sign == "|" or field.type == "many2one"):
                values = [self.merged((sign, values), self.comodel(field))]
            parts.extend((operator, name, v) for v in values)
        return (tree[0], parts)

    # one record

    def holds(self, model: Any, record: int, tree: Any, active: bool) -> Any:
        match tree:
            case ("?", truth):
                return bool(truth)
            case ("&" | "|" as sign, parts):
                truths = [self.holds(model, record, p, active) for p in parts]
                return (sign == "|") if (sign == "|") in truths else None if None in truths else sign == "&"
            case ("!", inner):
                return self.no(self.holds(model, record, inner, active))
        operator, name, value = tree
        field = model.fields[name]
        if operator == "=?":
            return value is False or self.holds(model, record, ("=", name, value), active)
        if field.inherited:
            link = model.fields[field.related[0]]
            inherited = (operator, field.related[-1], value)
            return self.holds(self.comodel(link), self.value(link, record), inherited, active)
        if name == "display_name":
            name, field = model.rec_name, model.fields[model.rec_name]
        if field.related:
            return self.related(model, record, field, operator, value, active)
        if operator in ("child_of", "parent_of"):
            return self.in_tree(model, record, field, operator == "parent_of", value, active)
        if field.comodel:
            return self.relation(model, record, field, operator, value, active)
        if self.old:
            return self.scalar18(field, self.value(field, record), operator, value)
        negative = operator in NEGATIVE
        operator = OPPOSITES[operator] if negative else operator
        return self.scalar19(field, self.value(field, record), operator, value) != negative

    def related(self, model: Any, record: int, field: Any, operator: str, value: Any, active: bool) -> Any:
        """Through a many2one; where there is none, as if the value there were missing."""
        negative = operator in NEGATIVE
        if operator == "not any" or (negative and not self.old):
            return True is not self.related(model, record, field, OPPOSITES[operator], value, active)
        values = value if isinstance(value, list) else [value]
        empty = None if self.old else FALSY.get(field.type)
        missing = any(v is False or (empty is not None and v == empty) for v in values)
        tree: Any = (operator, field.related[-1], value)
        for name in reversed(field.related[:-1]):
            tree = ("any", name, tree)
            if missing != negative:
                tree = ("|", [tree, ("=", name, False)])
        return self.holds(model, record, tree, active and not self.old)

    def relation(self, model: Any, record: int, field: Any, operator: str, value: Any, active: bool) -> Any:
        comodel, many = self.comodel(field), field.type != "many2one"
        inner = field.context.get("active_test", active) if many else active and not self.old
        mine = self.value(field, record)
        if not many and field.auto_join and self.old and operator in ("any", "not any"):
            truth = self.holds(comodel, mine, value, inner)  # only delegates, and those are always set
            return truth if operator == "any" else self.no(truth)
        if operator in NEGATIVE:
            return self.relation(model, record, field, OPPOSITES[operator], value, active) is not True
        if isinstance(value, str):
            if operator.endswith("like") and not value and not self.old:
                unset = self.relation(model, record, field, "=", False, active)
                return unset if "=" in operator else not unset
            operator, value = "any", (operator, "display_name", value)
        if operator == "any":
            conditions = ("&", [value, self.tree(field.domain or (), comodel)]) if many else value
            ids = self.found(comodel, conditions, inner, inner and many)
            return bool(ids & mine) if many else None if mine is None and ids else mine in ids
        values = value if isinstance(value, list) else [value]
        ids = {v for v in values if v}
        if not many:
            wanted = mine in ids or (mine is None and not all(values))
            return None if mine is None and ids and not wanted else wanted
        if not self.old:
            mine = mine & self.found(comodel, self.tree(field.domain or (), comodel), False, False)
        elif value is False and field.type == "one2many":
            mine = mine & self.found(comodel, ("?", True), inner, inner)
        return bool(mine & ids) or (not mine and (value is False or (not self.old and False in values)))

    def in_tree(self, model: Any, record: int, field: Any, up: bool, value: Any, active: bool) -> Any:
        """`child_of` and `parent_of`: all below or above, archived records on the way included."""
        own = field.name == "id"
        comodel = model if own else self.comodel(field)
        same, many = comodel is model, field.type in ("one2many", "many2many")
        inner = active if own else field.context.get("active_test", active) if many else False
        if value is False:
            return False
        values = value if isinstance(value, list) else [value]
        seeds = {v for v in values if not isinstance(v, str)}
        if not self.old and field.type == "many2many":
            seeds &= self.found(comodel, ("?", True), inner, inner)
        for text in (v for v in values if isinstance(v, str)):
            name = ("ilike", comodel.rec_name, text) if text else ("?", True)
            seeds |= self.found(comodel, name, inner, inner)
        if not seeds:
            return False
        by_path = comodel.parent_store and (self.old or own or not same or field.name == comodel.parent_name)
        along = field.name if same and not own and not by_path and field.type != "many2many" else None
        turned = along is not None and field.type == "one2many"
        parent = comodel.fields[field.inverse if turned else along or comodel.parent_name]
        reached = self.closure(comodel, parent, seeds, up != turned)
        if own or (same and (field.type == "many2one" or (self.old and field.type == "one2many"))):
            return record in reached
        mine = self.value(field, record)
        if not many:
            return None if self.old and mine is None else mine in reached
        if (field.type == "many2many") if self.old else (by_path and not up):
            reached &= self.found(comodel, ("?", True), inner, inner)
        if not self.old:
            reached &= self.found(comodel, self.tree(field.domain or (), comodel), False, False)
        return bool(mine & reached)


def _leaves(tree: Any) -> list[Any]:
    if tree[0] in ("&", "|"):
        return [leaf for part in tree[1] for leaf in _leaves(part)]
    return _leaves(tree[1]) if tree[0] == "!" else [] if tree[0] == "?" else [tree]
