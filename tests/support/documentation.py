"""What the documentation shows, taken out of it: fragments of manifests, commands, links, tables."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import inspect
from support.manifests import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
_FENCE = re.compile(
    r"^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_SIMPLE: dict[Any, str] = {
    inspect.StrType: "text",
    inspect.LiteralType: "text",
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.BoolType: "true or false",
    inspect.AnyType: "anything",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """All fenced blocks in these languages."""
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], _dedented(found))
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for found in _FENCE.finditer(text)
        if found["language"] in languages
    ]


def links(page: Path) -> list[str]:
    """Where the links of a page lead; what stands in code is none."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))
    return _LINK.findall(text)


def anchors(page: Path) -> set[str]:
    """What `#...` may name in a page: its headings, as they are made into anchors on the web."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table of a Markdown text, header and all, without code marks."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not inside:
            found.append([])
            inside = True
        if not all(re.fullmatch(r"-+", cell) for cell in cells):
            found[-1].append(cells)
    return found


def section(page: Path, heading: str) -> str:
    """The text under a heading, up to the next one."""
    text = page.read_text(encoding="utf-8")
    found = re.search(
        rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", _FENCE.sub("", text), re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"{page.name} has no section {heading}"
    return found[1]


def type_word(kind: Any) -> str:
    """How the documentation calls the type of a field of a `msgspec.Struct`."""
    if isinstance(kind, inspect.UnionType):
        words = [type_word(each) for each in kind.types if not isinstance(each, inspect.NoneType)]
        return " or ".join([*words, "null"])
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {type_word(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"map to {type_word(kind.value_type)}"
    if isinstance(kind, inspect.StructType):
        return f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
    return _SIMPLE[type(kind)]


def _dedented(found: re.Match[str]) -> str:
    indent = len(found["indent"])
    return "\n".join(line[indent:] for line in found["text"].splitlines()) + "\n"
