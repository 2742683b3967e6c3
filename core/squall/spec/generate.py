"""Writes what is generated from the models: CRDs, JSON schemas, reference pages, and the structs for runners.

    python -m squall.spec.generate            writes them
    python -m squall.spec.generate --check    shows what would change, and exits 1 if anything would

They are committed, since users take them from the repository; the check keeps them true. What is generated from more than
the models is added by `squall.cli.generate`, which does all of it.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from squall.spec.base import API_GROUP
from squall.spec.crd import RESOURCES, crd
from squall.spec.jsonschema import json_schema
from squall.spec.kinds import KINDS
from squall.spec.reference import reference
from squall.spec.structsource import structs_source

if TYPE_CHECKING:
    from collections.abc import Callable

    Files = Callable[[], dict[Path, str]]

_YAML_HEADER = "# Generated from the models by `python -m squall.spec.generate`; do not edit.\n"


def generated_files() -> dict[Path, str]:
    """Every generated file: its path below the repository's root, and its text."""
    files = {Path("core", "squall", "spec", "structs.py"): structs_source()}
    for kind in KINDS:
        stem = kind.lower()
        files[Path("crds", f"{API_GROUP}_{RESOURCES[kind].plural}.yaml")] = _YAML_HEADER + as_yaml(crd(kind))
        files[Path("docs", "schema", f"{stem}.schema.json")] = (
            json.dumps(json_schema(kind), indent=2, ensure_ascii=False) + "\n"
        )
        files[Path("docs", "reference", f"{stem}.md")] = reference(kind)
    return files


def stale(root: Path, files: Files = generated_files) -> str:
    """A unified diff from the files below `root` to what they should be; empty when they are up to date."""
    return "".join(_diff(root / path, path, text) for path, text in files().items())


def write(root: Path, files: Files = generated_files) -> list[Path]:
    """Write the files that differ; returns their paths."""
    written = []
    for path, text in files().items():
        if _read(root / path) != text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
            written.append(path)
    return written


def _diff(file: Path, path: Path, wanted: str) -> str:
    before, after = _read(file).splitlines(keepends=True), wanted.splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, str(path), f"{path} (generated)"))


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


class _Dumper(yaml.SafeDumper):
    """Writes equal objects out each time: anchors are no part of what `kubectl` users expect to read."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def as_yaml(value: dict[str, Any] | list[Any]) -> str:
    """A generated object or list as people read it."""
    # The innermost objects in one line each: a third smaller, and easier to read.
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True, default_flow_style=None
    )


def main(arguments: list[str] | None = None, *, files: Files = generated_files) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Writes the generated files that differ.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 with a diff when a file is stale"
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the repository's root (default: here)")
    options = parser.parse_args(arguments)
    if options.check:
        difference = stale(options.root, files)
        sys.stdout.write(difference)
        return 1 if difference else 0
    for path in write(options.root, files):
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
