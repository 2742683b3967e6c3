"""YAML text -> trees that know where everything was written, built so that no text can do harm.

A manifest may come from a pull request or from a tenant. PyYAML's own composer recurses, follows aliases into
themselves, and keeps the last of two equal keys without a word. So the parser's events are read here one by
one, with a bound on nesting and on what aliases expand to, before anything is built from them.
JSON is read too: it is YAML. What comes from a server is data already; it becomes a tree as it is, since made into text again it
could be several times as large as what somebody has written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from squall.spec.problems import Problem
from squall.spec.scalars import parse_plain, parse_tagged
from squall.spec.syntax import syntax_problem
from squall.spec.tree import Leaf, ListNode, MapNode, Node, Origin, from_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MANIFEST_BYTES = 128 * 1024
MAX_STORED_BYTES = 3 * MAX_MANIFEST_BYTES
"""What a server stores is JSON, where nothing is more than three times as long: of `\\e`, which becomes `\\u001b`."""
MAX_DEPTH = 64
MAX_NODES = 100_000
"""No honest manifest of 128 KiB has more; aliases that refer to aliases can have 10^9."""

_SMALLER = "move data out of it: spec.files with path, configMap or volumeClaim instead of inline"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAP_TAGS = (None, "!", "tag:yaml.org,2002:map")
_LIST_TAGS = (None, "!", "tag:yaml.org,2002:seq")


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document.

    Attributes:
        file: As the user named it.
        root: The tree.
        text: The document's own text, for keeping it with the results.
    """

    file: str
    root: Node
    text: str


@dataclass(slots=True)
class _RefusedError(Exception):
    """A document cannot be built; unwinds to `read_documents`."""

    problem: Problem


@dataclass(slots=True)
class _Built:
    """A finished node with what it weighs when aliases are written out."""

    node: Node
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class _Open:
    """A collection that is still being read."""

    origin: Origin
    is_map: bool
    anchor: str | None
    children: list[tuple[_Built, bool]] = field(default_factory=list)
    """Each child, and whether it was a plain (unquoted) scalar."""


def read_documents(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """All documents of a text, and what is wrong with it as YAML.

    Documents before a syntax error are returned beside its problem. Documents that hold nothing (after a
    trailing `---`) are left out. Never raises for any text.
    """
    documents: list[Document] = []
    builder = _Builder(file)
    if not text.isascii():
        text = text.encode("utf-8", "surrogatepass").decode(
            "utf-8", "replace"
        )  # lone surrogates, which the parser cannot take
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentEndEvent):
                _keep(documents, builder, text, _mark(event).index)
            elif isinstance(event, yaml.DocumentStartEvent):
                builder.start(_mark(event).index, _mark(event).line)
            else:
                builder.take(event)
    except yaml.YAMLError as error:
        return documents, [*builder.problems, syntax_problem(error, text, file)]
    except _RefusedError as refused:
        return documents, [*builder.problems, refused.problem]
    if not documents and not builder.problems:
        hint = "write a LoadTest into it: apiVersion, kind, metadata and spec"
        return [], [Problem(file, 1, 1, "", "the file is empty", hint)]
    return documents, builder.problems


def document_of(data: Any, file: str) -> tuple[list[Document], list[Problem]]:
    """The same for a resource that a server has stored: data, with no lines to speak of."""

    def refused(message: str, hint: str) -> tuple[list[Document], list[Problem]]:
        return [], [Problem(file, 0, 0, "", message, hint)]

    if not _within(data, MAX_DEPTH):
        return refused(f"nested deeper than {MAX_DEPTH} levels", "no manifest needs that; flatten it")
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_STORED_BYTES:
        return refused(
            f"the manifest has {size // 1024} KiB as JSON; at most {MAX_STORED_BYTES // 1024} KiB are possible, "
            "because each change of its status writes all of it again",
            _SMALLER,
        )
    return [Document(file, from_plain(data, Origin(file)), text)], []


def _within(value: Any, levels: int) -> bool:
    """Whether data is nested no deeper than that."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return levels >= 0 and all(_within(each, levels - 1) for each in inner)


def _mark(event: yaml.Event) -> Any:
    assert event.start_mark is not None, "the parser marks every event"
    return event.start_mark


def _keep(documents: list[Document], builder: _Builder, text: str, end: int) -> None:
    # A file that begins with a byte order mark counts it in none of the marks; one character is no matter here.
    own = text[builder.start_index : end]
    if builder.root is None or (isinstance(builder.root, Leaf) and builder.root.value is None):
        return
    size = len(own.encode("utf-8", "replace"))
    if size > MAX_MANIFEST_BYTES:
        builder.problems.append(
            Problem(
                builder.file,
                builder.start_line + 1,
                1,
                "",
                f"the manifest has {size // 1024} KiB; at most {MAX_MANIFEST_BYTES // 1024} KiB are possible, "
                "because Kubernetes stores it twice (annotations keep a copy) and refuses more",
                _SMALLER,
            )
        )
        return
    documents.append(Document(builder.file, builder.root, own))


class _Builder:
    """Makes one tree per document out of parser events, without recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.start(0, 0)

    def start(self, index: int, line: int) -> None:
        """Begin a document."""
        self.start_index = index
        self.start_line = line
        self.root: Node | None = None
        self._nodes = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Built] = {}

    def take(self, event: yaml.Event) -> None:
        """Account for the next event of the document."""
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event), event, plain=event.style in (None, ""))
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._alias(event), event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(event)

    def _origin(self, event: yaml.Event) -> Origin:
        return Origin(self.file, _mark(event).line + 1, _mark(event).column + 1)

    def _problem(self, origin: Origin, message: str, hint: str = "") -> Problem:
        return Problem(origin.file, origin.line, origin.column, "", message, hint)

    def _refuse(self, event: yaml.Event, message: str, hint: str) -> _RefusedError:
        return _RefusedError(self._problem(self._origin(event), message, hint))

    def _scalar(self, event: yaml.ScalarEvent) -> _Built:
        origin = self._origin(event)
        if event.tag is None:
            plain = event.style in (None, "")
            return _Built(Leaf(parse_plain(event.value) if plain else event.value, origin))
        try:
            return _Built(Leaf(parse_tagged(event.tag, event.value), origin))
        except ValueError as error:
            self.problems.append(self._problem(origin, str(error), "leave the tag out; quote what is text"))
            return _Built(Leaf(event.value, origin))

    def _alias(self, event: yaml.AliasEvent) -> _Built:
        if any(part.anchor == event.anchor for part in self._stack):
            raise self._refuse(
                event,
                f"the alias *{event.anchor} contains itself",
                "write out what is meant instead of the alias",
            )
        built = self._anchors.get(event.anchor or "")
        if built is None:
            raise self._refuse(
                event,
                f"there is no anchor &{event.anchor} above",
                "define it before its first use, or quote the text",
            )
        return built

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise self._too_deep(event)
        is_map = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (_MAP_TAGS if is_map else _LIST_TAGS):
            self.problems.append(
                self._problem(
                    self._origin(event), f"the tag {event.tag} means nothing here", "leave the tag out"
                )
            )
        self._stack.append(_Open(self._origin(event), is_map, event.anchor))

    def _too_deep(self, event: yaml.Event) -> _RefusedError:
        return self._refuse(
            event, f"nested deeper than {MAX_DEPTH} levels", "no manifest needs that; flatten it"
        )

    def _close(self, event: yaml.CollectionEndEvent) -> None:
        part = self._stack.pop()
        node: Node
        if part.is_map:
            node = self._mapping(part)
        else:
            node = ListNode(tuple(built.node for built, _ in part.children), part.origin)
        size = 1 + sum(built.size for built, _ in part.children)
        height = 1 + max((built.height for built, _ in part.children), default=0)
        built = _Built(node, size, height)
        if part.anchor:
            self._anchors[part.anchor] = built
        self._attach(built, event)

    def _add(self, built: _Built, event: yaml.NodeEvent, *, plain: bool = False) -> None:
        # What has been closed is counted when it is closed; here scalars and whatever an alias stands for.
        self._nodes += built.size
        if self._nodes > MAX_NODES:
            raise self._refuse(
                event,
                f"aliases expand to more than {MAX_NODES:,} values",
                "this looks like an alias bomb; write out what is meant",
            )
        if len(self._stack) + built.height > MAX_DEPTH:
            raise self._too_deep(event)
        if event.anchor and isinstance(event, yaml.ScalarEvent):
            self._anchors[event.anchor] = built
        self._attach(built, event, plain=plain)

    def _attach(self, built: _Built, event: yaml.Event, *, plain: bool = False) -> None:
        del event
        if self._stack:
            self._stack[-1].children.append((built, plain))
        else:
            self.root = built.node

    def _mapping(self, part: _Open) -> MapNode:
        items: dict[str, Node] = {}
        keys: dict[str, Origin] = {}
        merged: list[Node] = []
        for (key, plain), (value, _) in _pairs(part.children):
            if plain and isinstance(key.node, Leaf) and key.node.value == "<<":
                merged.append(value.node)
                continue
            name = self._key(key.node)
            if name is None:
                continue
            if name in items:
                self.problems.append(
                    self._problem(
                        key.node.origin,
                        f'the key "{name}" stands here twice; the first is in line {keys[name].line}',
                        "keep one of them",
                    )
                )
                continue
            items[name], keys[name] = value.node, key.node.origin
        for node in merged:
            self._merge(node, items, keys)
        return MapNode(items, part.origin, keys)

    def _key(self, node: Node) -> str | None:
        if isinstance(node, Leaf) and node.value is not None:
            value = node.value
            return str(value).lower() if isinstance(value, bool) else str(value)
        message = "a key is missing before the colon" if isinstance(node, Leaf) else "a key has to be text"
        self.problems.append(
            self._problem(node.origin, message, "write key: value; quote a value that holds { or [")
        )
        return None

    def _merge(self, node: Node, items: dict[str, Node], keys: dict[str, Origin]) -> None:
        """`<<: *alias`: the keys of another mapping, where this one does not have them (YAML 1.1 merge)."""
        parts = node.items if isinstance(node, ListNode) else (node,)
        for part in parts:
            if not isinstance(part, MapNode):
                self.problems.append(self._problem(part.origin, "<< takes a mapping, or a list of mappings"))
                continue
            for key, value in part.items.items():
                if key not in items:
                    items[key], keys[key] = value, part.keys[key]


def _pairs(children: list[tuple[_Built, bool]]) -> Iterator[tuple[tuple[_Built, bool], tuple[_Built, bool]]]:
    flat = iter(children)
    return zip(flat, flat, strict=True)
