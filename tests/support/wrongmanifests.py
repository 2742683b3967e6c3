"""The table of wrong manifests: read from its file, made into manifests, and shown in the documentation."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.manifests import ROOT, Json

TABLE = ROOT / "tests" / "cluster" / "wrong_manifests.yaml"
DOCUMENT = ROOT / "docs" / "validation.md"
BEGIN, END = "<!-- table begins -->", "<!-- table ends -->"

_MARK = {True: "refused", False: "taken"}


@dataclass(frozen=True, slots=True)
class Case:
    """One wrong manifest.

    Attributes:
        group: The title it stands under.
        what: What is wrong with it.
        manifest: The manifest.
        refused_by: `both`, `server`, `models` or `neither`.
        messages: A part of the message, by who refuses.
        validated: Whether `squall validate` takes it all the same.
    """

    group: str
    what: str
    manifest: Json
    refused_by: str
    messages: dict[str, str]
    validated: bool

    def refused_by_the(self, who: str) -> bool:
        """Tell whether `server` or `models` has to refuse it."""
        return self.refused_by in ("both", who)


def base_manifests() -> dict[str, Json]:
    """The right manifests that the cases change, by kind."""
    bases: dict[str, Json] = _table()["bases"]
    return bases


def wrong_manifests() -> list[Case]:
    """Every case of the table, in its order."""
    table = _table()
    return [
        _case(table["bases"][group.get("kind", "LoadTest")], group["title"], each)
        for group in table["groups"]
        for each in group["cases"]
    ]


def documented_table() -> str:
    """The table as the documentation shows it, in Markdown."""
    lines: list[str] = []
    group = ""
    for case in wrong_manifests():
        if case.group != group:
            group = case.group
            lines += [
                "",
                f"### {group}",
                "",
                "| what is wrong | API server | models |",
                "| --- | --- | --- |",
            ]
        marks = [_MARK[case.refused_by_the(who)] for who in ("server", "models")]
        lines.append(f"| {case.what} | {' | '.join(marks)} |")
    return "\n".join([*lines, ""])


def with_table(document: str) -> str:
    """The document with the table between its two marks brought up to date."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{documented_table()}\n{END}{after}"


def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return table


def _case(base: Json, group: str, row: Json) -> Case:
    manifest = copy.deepcopy(base)
    for path in row.get("remove", []):
        holder, key = _holder(manifest, path)
        del holder[key]
    for path, value in row.get("set", {}).items():
        holder, key = _holder(manifest, path)
        holder[key] = value
    for path, length in row.get("long", {}).items():
        holder, key = _holder(manifest, path)
        holder[key] = "x" * length
    messages: dict[str, str] = {who: row[who] for who in ("server", "models") if who in row}
    case = Case(group, row["what"], manifest, row["refusedBy"], messages, row.get("validate") == "taken")
    expected = {who for who in ("server", "models") if case.refused_by_the(who)}
    if expected != set(messages):
        raise ValueError(
            f"{TABLE.name}: {case.what}: give a message for each that refuses it, and for no other"
        )
    return case


def _holder(manifest: Json, path: str) -> tuple[Any, Any]:
    """The object that holds the last key of a path, and that key."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    here: Any = manifest
    for part in way:
        here = here[part]
    return here, last


def update_documentation(path: Path = DOCUMENT) -> None:
    """Write the table into the document."""
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
