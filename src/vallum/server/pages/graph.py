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

_MARKS: Final[Mapping[str, str]] = {"allowed": "✓", "refused": "✕", "inherited": "⑂"}
_GAP_X: Final = 46
_GAP_Y: Final = 12
_WIDTH: Final = 190
_CHAR: Final = 7.1
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


def draw(nodes: Sequence[Node], edges: Sequence[Edge], label: str, *, width: int = _WIDTH) -> Markup:
    """The picture. `label` says in words what it shows; `width`: of a box, in pixels.

    Edges in a circle are drawn, but do not count for the columns.
    """
    known = {node.id: node for node in nodes}
    links = [edge for edge in edges if edge.start in known and edge.end in known and edge.start != edge.end]
    columns = _ordered(_columns(nodes, links), links)
    boxes = _placed(columns, known, width)
    tall = max((box.y + box.height for box in boxes.values()), default=0) + 2
    wide = len(columns) * width + max(0, len(columns) - 1) * _GAP_X + 4
    parts = [_edge(boxes[edge.start], boxes[edge.end], edge.kind, width) for edge in links]
    parts.extend(_node(box, width) for box in boxes.values())
    return Markup(
        '<div class="graph" tabindex="0" role="group" aria-label="{}"><svg width="{}" height="{}"'
        ' viewBox="0 0 {} {}" xmlns="http://www.w3.org/2000/svg"><defs><marker id="tip" viewBox="0 0 8 8"'
        ' refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"'
        ' fill="context-stroke"/></marker></defs>{}</svg></div>'
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


def _placed(columns: list[list[str]], known: Mapping[str, Node], width: int) -> dict[str, _Box]:
    heights = {name: 34 if not node.sub else 48 for name, node in known.items()}
    tall = max((sum(heights[n] + _GAP_Y for n in column) for column in columns), default=0)
    boxes: dict[str, _Box] = {}
    for i, column in enumerate(columns):
        used = sum(heights[name] + _GAP_Y for name in column)
        y = 2 + (tall - used) / 2
        for name in column:
            boxes[name] = _Box(known[name], 2 + i * (width + _GAP_X), y, heights[name])
            y += heights[name] + _GAP_Y
    return boxes


def _node(box: _Box, width: int) -> Markup:
    node = box.node
    mark = _MARKS.get(node.kind, "")
    room = (width - (38 if mark else 20)) / _CHAR
    x = box.x + (28 if mark else 10)
    middle = box.y + box.height / 2
    lines = [
        Markup('<text x="{}" y="{:.0f}">{}</text>').format(
            x, middle + (4 if not node.sub else -4), _fit(node.label, room)
        )
    ]
    if node.sub:
        sub = _fit(node.sub, room * 1.16)
        lines.append(Markup('<text class="sub" x="{}" y="{:.0f}">{}</text>').format(x, middle + 13, sub))
    if mark:
        lines.append(
            Markup('<text class="mark" x="{}" y="{:.0f}" aria-hidden="true">{}</text>').format(
                box.x + 9, middle + 5, mark
            )
        )
    body = Markup('<title>{}</title><rect x="{}" y="{:.0f}" width="{}" height="{}" rx="6"/>{}').format(
        " · ".join(filter(None, (node.label, node.sub, node.kind if mark else ""))),
        box.x, box.y, width, box.height, Markup("").join(lines),
    )  # fmt: skip
    drawn = Markup('<g class="node {}">{}</g>').format(node.kind, body)
    return Markup('<a href="{}">{}</a>').format(node.href, drawn) if node.href else drawn


def _edge(start: _Box, end: _Box, kind: Kind, width: int) -> Markup:
    x1, y1 = start.x + width, start.y + start.height / 2
    x2, y2 = end.x, end.y + end.height / 2
    bend = max(20.0, abs(x2 - x1) / 2)
    path = f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    return Markup('<path class="edge {}" d="{}" marker-end="url(#tip)"/>').format(kind, path)


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
