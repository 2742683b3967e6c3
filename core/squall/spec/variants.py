"""Presets: a partial spec merged over the spec, so that one manifest holds smoke test, nightly run and peak.

The rules, which are those of the command line's help too:

- Mappings merge key by key. `null` removes a key (inside a new list item it is only a null).
- Lists of named things (`variables`, `files`, `data`, `scenarios`, `thresholds`, `tiers`) merge by name: an item
  changes the one with its name, or is appended. `{name: x, $patch: delete}` removes it. An item without a
  name is appended.
- `steps` merge by name when every item of the variant names a step that is there; otherwise, like every
  other list (`stages` among them), they are replaced: a flow or a ramp is written whole.
- Several variants apply in the order in which they are given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from squall.spec.problems import Problem, did_you_mean, one_of
from squall.spec.tree import Leaf, ListNode, MapNode, Node, Origin, find, format_path, items_at, text_at

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED_LISTS = frozenset({"variables", "files", "data", "scenarios", "thresholds", "tiers"})
_PATCH = "$patch"


def merge(base: Node, patch: Node, key: str = "") -> Node:
    """`patch` over `base`; what comes from the patch keeps its own origin.

    Args:
        base: The tree to change.
        patch: A partial tree of the same shape.
        key: The key under which both stand, which decides how lists merge.
    """
    if isinstance(base, MapNode) and isinstance(patch, MapNode):
        return _merge_maps(base, patch)
    if isinstance(base, ListNode) and isinstance(patch, ListNode) and _merges_by_name(base, patch, key):
        return _merge_named(base, patch)
    return _new(patch)


def _merge_maps(base: MapNode, patch: MapNode) -> MapNode:
    items, keys = dict(base.items), dict(base.keys)
    for key, value in patch.items.items():
        if key == _PATCH:
            continue
        if isinstance(value, Leaf) and value.value is None:
            items.pop(key, None)
            keys.pop(key, None)
            continue
        below = items.get(key)
        items[key] = _new(value) if below is None else merge(below, value, key)
        keys[key] = patch.keys.get(key, value.origin)
    return replace(base, items=items, keys=keys)


def _merges_by_name(base: ListNode, patch: ListNode, key: str) -> bool:
    if key in NAMED_LISTS:
        return True
    names = {name for item in base.items if (name := text_at(item, "name"))}
    return (
        key == "steps" and bool(patch.items) and all(text_at(item, "name") in names for item in patch.items)
    )


def _merge_named(base: ListNode, patch: ListNode) -> ListNode:
    items = list(base.items)
    for item in patch.items:
        name = text_at(item, "name")
        index = next((i for i, there in enumerate(items) if name and text_at(there, "name") == name), None)
        if text_at(item, _PATCH) == "delete":
            if index is not None:
                del items[index]
        elif index is None:
            items.append(item)
        else:
            items[index] = merge(items[index], item)
    return replace(base, items=tuple(items))


def _new(node: Node) -> Node:
    """What a patch brings where there was nothing to change: its removals have nothing to remove."""
    if isinstance(node, MapNode):
        return _merge_maps(MapNode({}, node.origin), node)
    if isinstance(node, ListNode):
        return replace(node, items=tuple(item for item in node.items if text_at(item, _PATCH) != "delete"))
    return node


def variant_names(root: Node) -> list[str]:
    """The names of the manifest's variants, in its order."""
    return [name for item in items_at(root, "spec", "variants") if (name := text_at(item, "name"))]


def apply_variants(root: Node, names: Sequence[str]) -> tuple[Node, list[Problem]]:
    """The manifest with these variants merged over it, one after the other."""
    problems: list[Problem] = []
    variants = {text_at(item, "name"): item for item in items_at(root, "spec", "variants")}
    for name in names:
        variant = variants.get(name)
        spec, patch = find(root, "spec"), find(variant, "spec")
        if variant is None:
            problems.append(_unknown_variant(name, variant_names(root)))
        elif isinstance(root, MapNode) and isinstance(spec, MapNode) and isinstance(patch, MapNode):
            problems += _misplaced(patch, name)
            root = root.with_item("spec", _merge_maps(spec, patch.without("variants")))
    return root, problems


def _unknown_variant(name: str, valid: list[str]) -> Problem:
    hint = one_of(valid, "variants of this manifest") or "the manifest has no variants"
    message = f'there is no variant "{name}"{did_you_mean(name, valid)}'
    return Problem(f"--variant {name}", 0, 0, "", message, hint)


def _misplaced(patch: MapNode, name: str) -> list[Problem]:
    problems = []
    if "variants" in patch.items:
        problems.append(
            _at(
                patch.keys["variants"],
                ("spec", "variants"),
                name,
                "a variant cannot hold variants",
                "move them up",
            )
        )
    problems += _patch_words(patch, ("spec",), name)
    return problems


def _patch_words(node: Node, path: tuple[str | int, ...], name: str) -> list[Problem]:
    """`$patch` with a word that means nothing, or where nothing can be removed by name."""
    problems: list[Problem] = []
    if isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            problems += _patch_words(item, (*path, index), name)
    if isinstance(node, MapNode):
        word = node.items.get(_PATCH)
        in_list = bool(path) and isinstance(path[-1], int)
        if word is not None and (not in_list or not isinstance(word, Leaf) or word.value != "delete"):
            problems.append(
                _at(
                    node.keys[_PATCH],
                    (*path, _PATCH),
                    name,
                    "$patch can only be delete, in an item of a list of named things",
                    "write {name: x, $patch: delete}; to remove a key, set it to null",
                )
            )
        for key, item in node.items.items():
            problems += _patch_words(item, (*path, key), name)
    return problems


def _at(origin: Origin, path: tuple[str | int, ...], where: str, message: str, hint: str) -> Problem:
    return Problem(origin.file, origin.line, origin.column, format_path(path), message, hint, where)
