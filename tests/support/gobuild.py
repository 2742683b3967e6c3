"""Programs in Go that the tests need and no package brings: built once per machine, whatever the module proxy serves.

A binary appears under its name only when it is complete, and what goes wrong is told with the end of the compiler's log.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from support import longwork
from support.longwork import Say

STRIPPED = ("-trimpath", "-ldflags", "-s -w")
"""Options of a program whose tables for debuggers nobody needs."""


def go_tool() -> str | None:
    """Where the Go tool chain is."""
    return shutil.which("go")


def is_binary(path: Path) -> bool:
    """Whether there is a program."""
    return path.is_file() and os.access(path, os.X_OK)


def install(go: str, package: str, target: Path, *, title: str, cwd: Path | None = None, say: Say) -> None:
    """Build a package of a published module.

    Args:
        go: The tool chain.
        package: With its version, such as `example.com/module/cmd/program@v1.0.0`.
        target: The program; its name is the package's.
        title: Begins each line of progress.
        cwd: Where `go` runs.
        say: Receives progress.

    Raises:
        LongWorkError: It failed.
    """
    build([go, "install", "-v", *STRIPPED, package], target, title=title, cwd=cwd, say=say)


def build(command: Sequence[str], target: Path, *, title: str, cwd: Path | None = None, say: Say) -> None:
    """Run a command that leaves a program of the target's name in GOBIN, which is `work_folder(target)`; as `install`."""
    work = work_folder(target)
    work.mkdir(exist_ok=True)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(work)}
    started = time.monotonic()
    try:
        log = target.with_name(f"{target.name}.log")
        longwork.run(command, title=title, log=log, environment=environment, cwd=cwd, say=say)
        (work / target.name).replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"{title}: built in {time.monotonic() - started:.0f} s")


def work_folder(target: Path) -> Path:
    """Where a program lies until it is complete."""
    return target.with_name(f".{target.name}.{os.getpid()}")
