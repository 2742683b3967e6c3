"""A manifest as a tree in which every key and value remembers where it was written.

Variants, options and variables change a manifest before it is validated. Were it a plain dict by then, a
mistake could only be reported by path, and nobody would know which of three files, or which option, to
edit. So everything up to the models works on this tree; merging moves a value together with its origin.
Nodes are immutable and may be shared (YAML aliases do), hence every change builds anew along its path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something was written: a place in a file, or an option of the command line (line 0)."""

    file: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar. `external` marks text that came from outside the manifest and carries no YAML type."""

    value: Scalar
    origin: Origin
    external: bool = False


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence."""

    items: tuple[Node, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping; `keys` holds the origin of each key."""

    items: dict[str, Node]
    origin: Origin
    keys: dict[str, Origin] = field(default_factory=dict)

    def with_item(self, key: str, node: Node, origin: Origin | None = None) -> MapNode:
        """The same mapping with `key` set; a new key is said to come from `origin` or from the value."""
        keys = self.keys if key in self.keys and origin is None else {**self.keys, key: origin or node.origin}
        return replace(self, items={**self.items, key: node}, keys=keys)

    def without(self, *names: str) -> MapNode:
        """The same mapping without these keys."""
        return replace(
            self,
            items={k: v for k, v in self.items.items() if k not in names},
            keys={k: v for k, v in self.keys.items() if k not in names},
        )


Node: TypeAlias = MapNode | ListNode | Leaf


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    match node:
        case MapNode():
            return {key: plain(item) for key, item in node.items.items()}
        case ListNode():
            return [plain(item) for item in node.items]
        case Leaf():
            return node.value


def from_plain(value: Any, origin: Origin) -> Node:
    """A tree of plain data all of which came from one place."""
    match value:
        case dict():
            items = {str(key): from_plain(item, origin) for key, item in value.items()}
            return MapNode(items, origin, dict.fromkeys(items, origin))
        case list() | tuple():
            return ListNode(tuple(from_plain(item, origin) for item in value), origin)
        case _:
            return Leaf(value, origin)


def child(node: Node | None, segment: str | int) -> Node | None:
    """The item of a mapping by key or of a sequence by index; None when there is none."""
    if isinstance(node, MapNode) and isinstance(segment, str):
        return node.items.get(segment)
    if isinstance(node, ListNode) and isinstance(segment, int) and 0 <= segment < len(node.items):
        return node.items[segment]
    return None


def find(node: Node | None, *path: str | int) -> Node | None:
    """The node at a path; None when the path leads nowhere."""
    for segment in path:
        node = child(node, segment)
    return node


def text_at(node: Node | None, *path: str | int) -> str | None:
    """The scalar at a path when it is a string."""
    leaf = find(node, *path)
    return leaf.value if isinstance(leaf, Leaf) and isinstance(leaf.value, str) else None


def items_at(node: Node | None, *path: str | int) -> tuple[Node, ...]:
    """The items of the sequence at a path; empty when there is no sequence."""
    found = find(node, *path)
    return found.items if isinstance(found, ListNode) else ()


def origin_of(node: Node, path: Path, *, key: bool = False) -> Origin:
    """Where the value at a path (or its key) was written; what is missing is placed at its parent.

    Args:
        node: The tree.
        path: Segments from the tree's root.
        key: Prefer the place of the last key to that of its value.
    """
    origin, here = node.origin, node
    for position, segment in enumerate(path):
        below = child(here, segment)
        if below is None:
            return origin
        last = position == len(path) - 1
        # A block mapping starts where its first key stands; its own key is the better place to point at.
        as_key = isinstance(here, MapNode) and (key or not last or not isinstance(below, Leaf))
        origin = (
            here.keys.get(str(segment), below.origin)
            if isinstance(here, MapNode) and as_key
            else below.origin
        )
        here = below
    return origin


def format_path(path: Path) -> str:
    """`spec.scenarios[0].stages[1].duration`; keys that are no plain words are quoted."""
    text = ""
    for segment in path:
        if isinstance(segment, int):
            text += f"[{segment}]"
        elif segment and all(c.isalnum() or c in "_-$" for c in segment):
            text += f".{segment}" if text else segment
        else:
            text += f'["{segment}"]'
    return text


def parse_path(text: str) -> Path:
    """The path behind `spec.scenarios[0].stages`; the reverse of `format_path` for plain words."""
    return tuple(int(index) if index else key for key, index in _PART.findall(text))


def names_on(node: Node, path: Path) -> str:
    """The names of list items on the way to a path, outermost first: `signup / hold`."""
    names: list[str] = []
    here: Node | None = node
    for segment in path:
        here = child(here, segment)
        name = text_at(here, "name") if isinstance(segment, int) else None
        if name:
            names.append(name)
    return " / ".join(names)


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Leaf]]:
    """Every scalar with its path, in the order of writing."""
    match node:
        case MapNode():
            for key, item in node.items.items():
                yield from leaves(item, (*path, key))
        case ListNode():
            for index, item in enumerate(node.items):
                yield from leaves(item, (*path, index))
        case Leaf():
            yield path, node


def maps(node: Node, path: Path = ()) -> Iterator[tuple[Path, MapNode]]:
    """Every mapping with its path, outer ones first."""
    if isinstance(node, MapNode):
        yield path, node
        for key, item in node.items.items():
            yield from maps(item, (*path, key))
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from maps(item, (*path, index))


def map_leaves(node: Node, change: Callable[[Path, Leaf], Leaf], path: Path = ()) -> Node:
    """The tree with every scalar replaced by what `change` makes of it."""
    match node:
        case MapNode():
            return replace(
                node, items={k: map_leaves(item, change, (*path, k)) for k, item in node.items.items()}
            )
        case ListNode():
            return replace(
                node, items=tuple(map_leaves(item, change, (*path, i)) for i, item in enumerate(node.items))
            )
        case Leaf():
            return change(path, node)


def put(node: Node, path: Path, value: Node) -> Node:
    """The tree with `value` at `path`; mappings on the way are created.

    Raises:
        KeyError: A segment leads into a scalar or beyond a sequence.
    """
    if not path:
        return value
    head, *rest = path
    if isinstance(node, MapNode) and isinstance(head, str):
        below = node.items.get(head)
        if below is None or (rest and isinstance(below, Leaf) and below.value is None):
            below = MapNode({}, value.origin)
        return node.with_item(
            head, put(below, tuple(rest), value), None if head in node.keys else value.origin
        )
    if isinstance(node, ListNode) and isinstance(head, int) and 0 <= head < len(node.items):
        items = list(node.items)
        items[head] = put(items[head], tuple(rest), value)
        return replace(node, items=tuple(items))
    raise KeyError(head)
