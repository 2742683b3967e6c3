"""Effective manifests as text that reads back to the same manifest.

PyYAML quotes what YAML 1.1 would take for something else, which is more than enough for the reader here; what
only this reader takes for a number (`0o17`) is quoted as well.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from squall.spec.scalars import parse_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Keeps the order of keys, writes long text as blocks, and never writes aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out: readers of manifests should not have to look up."""
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002 - PyYAML's
        """Indent lists below their key."""
        del indentless
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    readable = all(c.isprintable() or c == "\n" for c in text)
    if not readable or not isinstance(parse_plain(text), str):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(documents: Sequence[dict[str, Any]]) -> str:
    """Manifests as YAML, one document each."""
    return yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDTH,
        explicit_start=len(documents) > 1,
    )


def to_json(documents: Sequence[dict[str, Any]]) -> str:
    """Manifests as JSON: one object, or a list when there are several."""
    data = documents[0] if len(documents) == 1 else list(documents)
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
