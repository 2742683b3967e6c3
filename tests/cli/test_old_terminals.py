"""Terminals and pipelines whose encoding is not UTF-8: everything is shown, with what they can show."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest
from rich.table import Table
from support.problems import manifest, write

from squall.cli.main import main
from squall.report.terminal import terminal

if TYPE_CHECKING:
    from pathlib import Path


class Terminal(io.TextIOWrapper):
    """A standard stream with an encoding of its own."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)

    @property
    def shown(self) -> str:
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue().decode(self.encoding)


def call(*arguments: str) -> int:
    before, sys.argv = sys.argv, ["squall", *arguments]
    try:
        with pytest.raises(SystemExit) as caught:
            main()
    finally:
        sys.argv = before
    return int(caught.value.code or 0)


def test_names_that_cannot_be_shown_end_no_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = Terminal("iso8859-5")
    monkeypatch.setattr(sys, "stderr", stream)
    file = write(tmp_path / "größe.yaml", manifest("http: {größe: 1}"))
    assert call("validate", file) == 104
    assert 'gr??e.yaml:5:10: spec.http.gr??e: unknown key "gr??e"' in stream.shown


def test_marks_have_others_that_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal("ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    call("--version")
    table = Table("a")
    table.add_row("✓ held, ✗ broke, · open, • said → done, 5 µs, at ≤ 9, 日本")
    terminal(sys.stdout).print(table)
    assert "+ held, x broke, . open, * said -> done, 5 us, at <= 9, ??" in stream.shown


def test_what_can_be_shown_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = Terminal("latin-1")
    monkeypatch.setattr(sys, "stderr", stream)
    call("validate", write(tmp_path / "größe.yaml", manifest("http: {größe: 1}")))
    assert "größe.yaml:5:10" in stream.shown
