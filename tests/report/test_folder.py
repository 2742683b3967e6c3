from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import yaml
from support.summaries import MANIFEST, summary

from squall.errors import UsageError
from squall.report.folder import ResultsFolder, read_summary, runs

MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def folder(parent: Path, run: str = "0123456789abcdef", moment: datetime = MOMENT) -> ResultsFolder:
    return ResultsFolder.create(parent, "shop", run, moment)


def test_a_folder_is_named_by_test_time_and_run(tmp_path: Path) -> None:
    assert folder(tmp_path / "results").path.name == "shop-20300102T030405-01234567"


def test_who_follows_the_same_run_from_the_same_second_on_has_a_folder_of_their_own(tmp_path: Path) -> None:
    made = [folder(tmp_path).path.name for _ in range(3)]
    first = "shop-20300102T030405-01234567"
    assert made == [first, f"{first}-2", f"{first}-3"]


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    made = folder(tmp_path)
    assert made.write_manifest(MANIFEST) == []
    assert made.write(summary()) == []
    assert made.read() == summary()
    assert yaml.safe_load((made.path / "manifest.yaml").read_text()) == MANIFEST
    assert sorted(path.name for path in made.path.iterdir()) == [
        "junit.xml", "manifest.yaml", "report.md", "summary.json",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write results below") as caught:
        folder(tmp_path / "file")
    assert "--results" in caught.value.hint


def test_a_full_disk_costs_the_file_and_nothing_else(tmp_path: Path) -> None:
    made = folder(tmp_path)
    os.symlink("/dev/full", made.path / ".report.md.tmp")  # every write ends with "no space left on device"
    (problem,) = made.write(summary())
    assert "report.md could not be written: No space left on device" in problem
    assert made.read() == summary()
    assert not (made.path / "report.md").exists()
    assert (made.path / "junit.xml").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("{", "is no summary of a run"),
        ("{}", "is no summary of a run"),
        (
            msgspec.json.encode(msgspec.structs.replace(summary(), schema="other/v9")).decode(),
            "has schema 'other/v9'",
        ),
    ],
)
def test_a_summary_that_cannot_be_read_says_why(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_summary(tmp_path)


def test_runs_are_listed_by_time_also_those_that_never_ended(tmp_path: Path) -> None:
    late = folder(tmp_path, "bbbbbbbbbbbb", datetime(2030, 1, 3, tzinfo=UTC))
    early = folder(tmp_path, "cccccccccccc", datetime(2030, 1, 1, tzinfo=UTC))
    for made in (late, early):
        made.write_manifest(MANIFEST)
    late.write(summary())
    (tmp_path / "something-else").mkdir()
    assert [(path, found is None) for path, found in runs(tmp_path)] == [
        (early.path, True),
        (late.path, False),
    ]


def test_no_results_are_no_runs(tmp_path: Path) -> None:
    assert list(runs(tmp_path / "nothing")) == []
