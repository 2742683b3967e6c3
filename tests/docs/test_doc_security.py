"""Each claim of the threat model names a test that exists, and no test twice for want of a better one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLAIM = re.compile(
    r"^\| (?P<claim>.+?) \| `(?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)` \|$", re.MULTILINE
)


def functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_claim_has_a_test() -> None:
    section = (ROOT / "docs/security.md").read_text().partition("## Claims and their tests")[2]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    claims = [CLAIM.fullmatch(row) for row in rows]
    assert [row for row, found in zip(rows, claims, strict=True) if found is None] == []
    named = [(found["file"], found["test"]) for found in claims if found is not None]
    assert len(set(named)) == len(named) > 50
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file() or test not in functions(ROOT / file)
    ]
    assert missing == []
