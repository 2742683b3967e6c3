"""The results folder of a run: one folder, named by test and time, that holds everything known of it.

    summary.json      the figures (`squall.report.model.Summary`)
    report.md         the report for people
    junit.xml         the verdict for pipelines
    manifest.yaml     the effective manifest, as run
    log.jsonl         what happened, a JSON object a line
    runners.jsonl     the runners' own log, with the iterations and requests that `outputs.logs` asks for
    series.jsonl.gz   a row per second and series
    runners.log       what runner processes printed, if anything: a defect, or a python step's own output

Each file is written for itself and atomically: a full disk costs that file, never the verdict.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from squall.errors import SquallError, UsageError
from squall.report import junit, markdown
from squall.report.model import MAX_SUMMARY, SCHEMA, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

SUMMARY = "summary.json"
SERIES = "series.jsonl.gz"
LOG = "log.jsonl"
RUNNERS = "runners.jsonl"
PROBE_BYTES = 16 * 1024
"""A disk that does not even take so much before a run would take none of its results."""
MANIFEST = "manifest.yaml"
RUNNER_LOG = "runners.log"


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """One run's folder."""

    path: Path

    @classmethod
    def create(cls, parent: Path, name: str, run: str, moment: datetime) -> ResultsFolder:
        """Make the folder `<name>-<time>-<id>` below `parent`, before any load, so that it is known to be writable.

        Two that follow one run on a cluster may begin within one second: the second's folder has `-2` at its end.

        Raises:
            UsageError: It cannot be made.
        """
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name) or "run"
        try:
            path = _own(parent, f"{safe}-{moment:%Y%m%dT%H%M%S}-{run[:8]}")
            _probe(path)
        except OSError as error:
            raise UsageError(
                f"cannot write results below {parent}: {error.strerror}",
                "choose another folder with --results, or make this one writable",
            ) from error
        return cls(path)

    def write_manifest(self, manifest: dict[str, Any]) -> list[str]:
        """Keep the effective manifest. Returns what could not be written."""
        return self._write({MANIFEST: lambda: yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)})

    def write_runner_log(self, text: str) -> list[str]:
        """Keep what runners have printed, if anything. Returns what could not be written."""
        return self._write({RUNNER_LOG: lambda: text}) if text else []

    def write(self, summary: Summary) -> list[str]:
        """Write summary, report and JUnit. Returns what could not be written, for the user."""
        return self._write(
            {
                SUMMARY: lambda: msgspec.json.format(msgspec.json.encode(summary)).decode() + "\n",
                "report.md": lambda: markdown.render(summary),
                "junit.xml": lambda: junit.render(summary),
            }
        )

    def _write(self, files: dict[str, Callable[[], str]]) -> list[str]:
        problems = []
        for name, render in files.items():
            temporary = self.path / f".{name}.tmp"
            try:
                temporary.write_text(render(), encoding="utf-8")
                temporary.replace(self.path / name)
            except OSError as error:
                problems.append(f"{self.path / name} could not be written: {error.strerror}")
                _remove(temporary)
        return problems

    def read(self) -> Summary:
        """The summary of a finished run.

        Raises:
            UsageError: There is none, or it is of a kind that this version does not know.
        """
        return read_summary(self.path / SUMMARY)


def _own(parent: Path, name: str) -> Path:
    """Make a folder that nobody else has."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = parent / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            path.mkdir()
            break
    return path


def _probe(path: Path) -> None:
    """Write to a folder, or leave none behind that could hold no run."""
    probe = path / ".writable"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
        probe.unlink()
    except OSError:
        _remove(probe)
        with suppress(OSError):
            path.rmdir()
        raise


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the disk that refused the file may refuse this too; nothing depends on it


def read_summary(path: Path) -> Summary:
    """Read a summary.json, or that of a results folder.

    Raises:
        UsageError: There is none, or it is of a kind that this version does not know.
    """
    if path.is_dir():
        path /= SUMMARY
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SUMMARY + 1)
        if len(data) > MAX_SUMMARY:
            raise UsageError(f"{path} is no summary of a run: it has more than {MAX_SUMMARY >> 20} MiB")
        summary = msgspec.json.decode(data, type=Summary)
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist", "give a results folder; `squall runs` lists them"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"{path} is no summary of a run: {error}") from error
    if summary.schema != SCHEMA:
        raise UsageError(f"{path} has schema {summary.schema!r}; this version reads {SCHEMA!r}")
    return summary


def runs(parent: Path) -> Iterator[tuple[Path, Summary | None]]:
    """The runs below a folder, oldest first; None for one that never ended or cannot be read."""
    found: list[tuple[str, Path, Summary | None]] = []
    for path in parent.iterdir() if parent.is_dir() else ():
        if not (path / MANIFEST).exists():
            continue
        try:
            summary: Summary | None = read_summary(path)
        except SquallError:
            summary = None
        moment = re.search(r"-(\d{8}T\d{6})-", path.name)
        found.append((moment.group(1) if moment else path.name, path, summary))
    for _, path, summary in sorted(found, key=lambda row: (row[0], row[1].name)):
        yield path, summary
