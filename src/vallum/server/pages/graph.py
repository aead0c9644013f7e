"""Pictures of chains and hierarchies: a layered graph as SVG, drawn on the server.

Pure: the same graph gives the same picture. Nodes stand in columns (or rows) by their distance from the
start, ordered so that few edges cross (the barycentre heuristic of Sugiyama's method).
Invariant: text and addresses enter the picture escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup

__all__ = ["Edge", "Node", "draw"]

Kind = Literal["neutral", "allowed", "refused", "inherited", "plain"]

_MARKS: Final[Mapping[str, str]] = {"allowed": "✓", "refused": "✕", "inherited": "↳"}
_GAP_X: Final = 30
_GAP_Y: Final = 12
_WIDTH: Final = 156
_CHAR: Final = 7.5
_SWEEPS: Final = 4


@dataclass(frozen=True, slots=True)
class Node:
    """A box: a label, a smaller line, a kind that is shown by colour and by sign, and where it leads."""

    id: str
    label: str
    sub: str = ""
    kind: Kind = "plain"
    href: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow from a node to another."""

    start: str
    end: str
    kind: Kind = "plain"


@dataclass(frozen=True, slots=True)
class _Box:
    """A node in its place."""

    node: Node
    x: float
    y: float
    height: int


def draw(nodes: Sequence[Node], edges: Sequence[Edge], label: str, *, down: bool = False) -> Markup:
    """The picture, from left to right, or from top to bottom. `label` says in words what it shows.

    Edges in a circle are drawn, but do not count for the columns.
    """
    known = {node.id: node for node in nodes}
    links = [edge for edge in edges if edge.start in known and edge.end in known and edge.start != edge.end]
    boxes = _placed(_ordered(_columns(nodes, links), links), known, down)
    wide = max((box.x + _WIDTH for box in boxes.values()), default=0) + 2
    tall = max((box.y + box.height for box in boxes.values()), default=0) + 2
    parts = [_edge(boxes[edge.start], boxes[edge.end], edge.kind, down) for edge in links]
    parts.extend(_node(box) for box in boxes.values())
    return Markup(
        '<div class="graph" tabindex="0" role="group" aria-label="{}"><svg width="{:.0f}" height="{:.0f}"'
        ' viewBox="0 0 {:.0f} {:.0f}" xmlns="http://www.w3.org/2000/svg">{}</svg></div>'
    ).format(label, wide, tall, wide, tall, Markup("").join(parts))


def _columns(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[list[str]]:
    """Nodes by the longest way from a node without a way to it."""
    level = dict.fromkeys((node.id for node in nodes), 0)
    order = _acyclic(list(level), edges)
    place = {name: i for i, name in enumerate(order)}
    following: dict[str, list[str]] = {}
    for edge in edges:
        if place[edge.start] < place[edge.end]:
            following.setdefault(edge.start, []).append(edge.end)
    for name in order:
        for other in following.get(name, ()):
            level[other] = max(level[other], level[name] + 1)
    columns: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for node in nodes:
        columns[level[node.id]].append(node.id)
    return columns


def _acyclic(names: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """An order in which edges go forward, where no circle forbids it (Kahn)."""
    waiting = dict.fromkeys(names, 0)
    following: dict[str, list[str]] = {}
    for edge in edges:
        waiting[edge.end] += 1
        following.setdefault(edge.start, []).append(edge.end)
    ready = [name for name in names if not waiting[name]]
    order: list[str] = []
    done: set[str] = set()
    while len(order) < len(names):
        if not ready:
            ready.append(next(name for name in names if name not in done))
        name = ready.pop(0)
        if name in done:
            continue
        done.add(name)
        order.append(name)
        for other in following.get(name, ()):
            waiting[other] -= 1
            if waiting[other] == 0 and other not in done:
                ready.append(other)
    return order


def _ordered(columns: list[list[str]], edges: Sequence[Edge]) -> list[list[str]]:
    """Within columns, nodes near those they are linked with."""
    before: dict[str, list[str]] = {}
    behind: dict[str, list[str]] = {}
    for edge in edges:
        before.setdefault(edge.end, []).append(edge.start)
        behind.setdefault(edge.start, []).append(edge.end)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        near = before if forward else behind
        place = {name: i / max(1, len(column)) for column in columns for i, name in enumerate(column)}
        for column in columns if forward else reversed(columns):

            def centre(
                name: str, near: dict[str, list[str]] = near, place: dict[str, float] = place
            ) -> float:
                linked = near.get(name)
                return sum(place[n] for n in linked) / len(linked) if linked else place[name]

            column.sort(key=centre)
            place.update({name: i / max(1, len(column)) for i, name in enumerate(column)})
    return columns


def _placed(columns: list[list[str]], known: Mapping[str, Node], down: bool) -> dict[str, _Box]:
    """Every node in its place: columns beside each other, or rows below each other."""
    heights = {name: _height(node) for name, node in known.items()}
    boxes: dict[str, _Box] = {}
    if down:
        wide = max((len(row) * (_WIDTH + _GAP_Y) for row in columns), default=0)
        y = 2.0
        for row in columns:
            x = 2 + (wide - len(row) * (_WIDTH + _GAP_Y)) / 2
            for name in row:
                boxes[name] = _Box(known[name], x, y, heights[name])
                x += _WIDTH + _GAP_Y
            y += max(heights[name] for name in row) + _GAP_X
        return boxes
    tall = max((sum(heights[n] + _GAP_Y for n in column) for column in columns), default=0)
    for i, column in enumerate(columns):
        y = 2 + (tall - sum(heights[name] + _GAP_Y for name in column)) / 2
        for name in column:
            boxes[name] = _Box(known[name], 2 + i * (_WIDTH + _GAP_X), y, heights[name])
            y += heights[name] + _GAP_Y
    return boxes


def _height(node: Node) -> int:
    return 14 + 17 * len(_lines(node)) + (15 if node.sub else 0)


def _lines(node: Node) -> list[str]:
    """The label, on two lines at most."""
    room = (_WIDTH - (38 if node.kind in _MARKS else 20)) / _CHAR
    first, *others = _wrapped(node.label, room)
    return [first, _fit(" ".join(others), room)] if others else [first]


def _wrapped(text: str, room: float) -> list[str]:
    lines = [""]
    for word in text.split() or [""]:
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and _length(joined) > room:
            lines.append(word)
        else:
            lines[-1] = joined
    if _length(lines[0]) > room:
        return [_fit(text, room)]
    return lines


def _node(box: _Box) -> Markup:
    node = box.node
    mark = _MARKS.get(node.kind, "")
    x = box.x + (28 if mark else 10)
    y = box.y + 21
    parts = []
    for line in _lines(node):
        parts.append(Markup('<text x="{:.0f}" y="{:.0f}">{}</text>').format(x, y, line))
        y += 17
    if node.sub:
        sub = _fit(node.sub, (_WIDTH - (x - box.x) - 8) / _CHAR * 1.16)
        parts.append(Markup('<text class="sub" x="{:.0f}" y="{:.0f}">{}</text>').format(x, y - 1, sub))
    if mark:
        middle = box.y + box.height / 2 + 5
        sign = '<text class="mark" x="{:.0f}" y="{:.0f}" aria-hidden="true">{}</text>'
        parts.append(Markup(sign).format(box.x + 9, middle, mark))  # noqa: S704
    told = " · ".join(filter(None, (node.label, node.sub, node.kind if mark else "")))
    drawn = Markup(
        '<g class="node {}"><title>{}</title>'
        '<rect x="{:.0f}" y="{:.0f}" width="{}" height="{}" rx="6"/>{}</g>'
    ).format(node.kind, told, box.x, box.y, _WIDTH, box.height, Markup("").join(parts))
    return Markup('<a href="{}">{}</a>').format(node.href, drawn) if node.href else drawn


def _edge(start: _Box, end: _Box, kind: Kind, down: bool) -> Markup:
    """A curve, and a tip that points along it."""
    if down:
        x1, y1 = start.x + _WIDTH / 2, start.y + start.height
        x2, y2 = end.x + _WIDTH / 2, end.y
        bend = max(14.0, abs(y2 - y1) / 2)
        path = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
        tip = f"M{x2 - 4:.0f} {y2 - 6:.0f}L{x2:.0f} {y2:.0f}L{x2 + 4:.0f} {y2 - 6:.0f}"
    else:
        x1, y1 = start.x + _WIDTH, start.y + start.height / 2
        x2, y2 = end.x, end.y + end.height / 2
        bend = max(14.0, abs(x2 - x1) / 2)
        path = f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        tip = f"M{x2 - 6:.0f} {y2 - 4:.0f}L{x2:.0f} {y2:.0f}L{x2 - 6:.0f} {y2 + 4:.0f}"
    return Markup('<path class="edge {}" d="{}{}"/>').format(kind, path, tip)


def _length(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _fit(text: str, room: float) -> str:
    """The text cut to a number of average characters; wide ones count twice.

    >>> _fit("Internal User", 8), _fit("管理者グループ", 8)
    ('Interna…', '管理者グ…')
    """
    used = 0
    clean = " ".join(text.split())
    for i, char in enumerate(clean):
        used += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if used > room:
            return clean[: max(1, i - (1 if used - room <= 1 else 0))] + "…"
    return clean
