"""A process of the runner's code that carries a whole test for one command: only that code speaks with targets and chains.

It is given its task as a line of JSON, tells events as lines of JSON, ends with `end` or `error`, and is never left behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.hub.protocol import Assignment
from squall.local.environment import of_runners
from squall.local.placing import laid_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from squall.validation import EffectiveManifest

_END_SECONDS: Final = 10.0


def whole(test: EffectiveManifest, run: str, folder: Path) -> Assignment:
    """The assignment of one process that carries all shards of a test and has no hub.

    Args:
        test: The test.
        run: What the run is called.
        folder: Where inline files are written.

    Raises:
        UsageError: One of them cannot be written.
    """
    return Assignment(
        run=run,
        hub="",
        token="",
        runner=0,
        shards=tuple(range(int(test.model.spec.shards))),
        manifest=test.data,
        variables=dict(test.variables),
        secrets=dict(test.secrets),
        files=laid_out(test.files, folder),
    )


def started(module: str, *, apart: bool = False) -> subprocess.Popen[bytes]:
    """Start a process.

    Args:
        module: What it runs.
        apart: Whether Ctrl-C in a terminal does not reach it, as whoever has started it passes that on.
    """
    return subprocess.Popen(  # noqa: S603 - our own module
        (sys.executable, "-m", module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=of_runners(os.environ),
        start_new_session=apart,
    )


def heard_out(
    process: subprocess.Popen[bytes], task: msgspec.Struct, show: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], int]:
    """Give a process its task and listen until it ends.

    Args:
        process: The process.
        task: The task.
        show: Takes each event.

    Returns:
        The last event, one without a name when there was none, and the exit code.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    last: dict[str, Any] = {"event": ""}
    try:
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        process.stdin.flush()
        for line in process.stdout:
            last = msgspec.json.decode(line, type=dict[str, Any])
            show(last)
        code = process.wait(_END_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
    return last, code
