"""Places that take no results, disks that fill up, readers that go away: none of it costs a run its verdict."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.countingtarget import CountingTarget
from support.squallrun import Squall, manifest, step

LIMIT = {"metric": "http_reqs", "expression": "count<10"}
"""Broken by every run here, so that the exit code can only come from a verdict."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "squall-test", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave not a byte."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("place", ["below a file", "on a full disk"])
def test_where_no_results_can_be_kept_nothing_begins(
    squall: Squall, target: CountingTarget, tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    if place == "below a file":
        (tmp_path / "file").touch()
        results = tmp_path / "file" / "results"
    else:
        results = request.getfixturevalue("small_disk") / "results"
        fill(results.parent)
    ended = squall(manifest(target.url), "--results", str(results)).ended()
    assert ended.code == 2
    assert f"cannot write results below {results}" in ended.said
    assert "choose another folder with --results" in ended.said
    assert "Traceback" not in ended.said
    assert target.count() == 0
    assert not list(results.glob("*")) if results.is_dir() else True


def test_a_disk_that_fills_up_costs_files_and_no_verdict(
    squall: Squall, target: CountingTarget, small_disk: Path
) -> None:
    test = manifest(target.url, duration="3s", thresholds=[LIMIT])
    run = squall(test, "--results", str(small_disk / "results"))
    run.wait_for_requests(target, 20)
    fill(small_disk)
    ended = run.ended()
    assert ended.code == 99
    assert "Failed" in ended.said
    assert "Traceback" not in ended.said
    for name in ("summary.json", "report.md", "junit.xml", "series.jsonl.gz"):
        assert f"{name} could not be written: No space left on device" in ended.said, ended.out
    (folder,) = (small_disk / "results").iterdir()
    assert "LoadTest" in (folder / "manifest.yaml").read_text()
    assert not list(folder.glob(".*")), "nothing half-written is left"


@pytest.mark.parametrize("stream", ["full", "nobody reads"])
def test_output_that_nobody_takes_costs_nothing(squall: Squall, target: CountingTarget, stream: str) -> None:
    test = manifest(target.url, thresholds=[LIMIT])
    if stream == "full":
        with Path("/dev/full").open("wb") as full:
            run = squall(test, stdout=full)
    else:
        reading, writing = os.pipe()
        run = squall(test, stdout=writing)
        os.close(writing)
        assert os.read(reading, 10)
        os.close(reading)
    ended = run.ended()
    assert ended.code == 99
    assert ended.out == "", "there is nothing to complain about"
    assert ended.summary.verdict.exit_code == 99
    assert (ended.results / "report.md").exists()
    assert ended.count() == target.count() > 0


def test_a_reader_that_goes_away_changes_nothing_about_ctrl_c(squall: Squall, target: CountingTarget) -> None:
    reading, writing = os.pipe()
    test = manifest(target.url, duration="40s", teardown={"steps": [step("bye", url="/bye")]})
    run = squall(test, stdout=writing)
    os.close(writing)
    os.close(reading)
    run.wait_for_requests(target, 20)
    run.signal_group(signal.SIGINT)
    ended = run.ended()
    assert ended.code == 105
    assert ended.summary.verdict.reason == "Interrupted"
    assert target.count("/bye") == 1
