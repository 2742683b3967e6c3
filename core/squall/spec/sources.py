"""Which texts a command line means: files, directories and standard input.

A directory is searched for manifests among whatever else lies there (a chart's values, other resources), so
what is not Squall's is passed over in silence. A file that was named is not: whoever names it means it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from squall.spec.problems import Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_FILE_BYTES = 16 * 1024 * 1024
"""A file may hold many manifests; more than this is no file of manifests."""
STDIN_NAME = "<stdin>"
_SUFFIXES = (".yaml", ".yml")
_KEPT_BY_RUNS = ("manifest.yaml", "log.jsonl")


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one file.

    Attributes:
        file: As the user named it; `<stdin>` for standard input.
        text: Decoded content.
        directory: Where relative paths in it begin.
        named: Whether the user named this very file, rather than a directory above it.
    """

    file: str
    text: str
    directory: Path
    named: bool = True


def read_sources(
    paths: Iterable[str | Path], stdin: BinaryIO | None = None
) -> tuple[list[Source], list[Problem]]:
    """The texts behind the arguments, each once, in their order; directories sorted by path.

    Args:
        paths: Files, directories (all `*.yaml` and `*.yml` below, hidden directories and results of runs left
            out), or `-`.
        stdin: What `-` reads; the process's own by default.
    """
    sources: list[Source] = []
    problems: list[Problem] = []
    for argument in dict.fromkeys(str(path) for path in paths):
        if argument == "-":
            data = (stdin or sys.stdin.buffer).read(MAX_FILE_BYTES + 1)
            _keep(sources, problems, STDIN_NAME, data, Path.cwd(), named=True)
        elif os.path.isdir(argument):  # noqa: PTH112 - Path.is_dir() raises for a name with a NUL, this does not
            _read_directory(sources, problems, argument)
        else:
            _read_file(sources, problems, argument, named=True)
    return sources, problems


def _read_directory(sources: list[Source], problems: list[Problem], directory: str) -> None:
    files = sorted(_manifest_files(directory))
    if not files:
        problems.append(
            Problem(
                directory,
                0,
                0,
                "",
                "the directory holds no *.yaml or *.yml",
                "name a file, or another directory",
            )
        )
    for file in files:
        _read_file(sources, problems, file, named=False)


def _manifest_files(directory: str) -> Iterable[str]:
    for parent, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_of_a_run(parent, name)]
        for file in files:
            if file.endswith(_SUFFIXES) and not file.startswith("."):
                yield str(Path(parent, file))


def _is_of_a_run(parent: str, folder: str) -> bool:
    """Whether a folder holds the results of a run, which keep a copy of its manifest."""
    return all(Path(parent, folder, kept).is_file() for kept in _KEPT_BY_RUNS)


def _read_file(sources: list[Source], problems: list[Problem], file: str, *, named: bool) -> None:
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        problems.append(Problem(file, 0, 0, "", "there is no such file", _similar_file(file)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.append(
            Problem(file, 0, 0, "", f"the file cannot be read: {reason}", "check its permissions")
        )
    else:
        _keep(sources, problems, file, data, Path(file).parent, named=named)


def _similar_file(file: str) -> str:
    try:
        there = [entry.name for entry in Path(file).parent.iterdir()]
    except OSError:
        return "check the path"
    close = nearest(Path(file).name, there)
    return f"did you mean {Path(file).parent / close}?" if close else "check the path"


def _keep(
    sources: list[Source], problems: list[Problem], file: str, data: bytes, directory: Path, *, named: bool
) -> None:
    if len(data) > MAX_FILE_BYTES:
        limit = f"{MAX_FILE_BYTES // 2**20} MiB"
        problems.append(
            Problem(file, 0, 0, "", f"more than {limit}: this is no file of manifests", "name another")
        )
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        problems.append(
            Problem(file, line, column, "", "the text is not UTF-8 here", "save the file as UTF-8")
        )
        return
    sources.append(Source(file, text, directory, named))
