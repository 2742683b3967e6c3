"""`squall-runner`: one process that carries some shards of a run.

It is started by `squall run`, and given an assignment as one line of JSON on standard input or in a file. As a pod it finds what
it needs in a folder, and may start further processes of its kind. It is not meant to be typed by people. When standard input
ends without an assignment, there is nothing to do and it exits 0.

Exit codes: 0 it was told to stop, or all is done; 1 it crashed; 70 nobody was in control any more; 104 the assignment or
the manifest is wrong. A verdict is never to be read from them. A pod of several processes exits with the code of the first that
failed; where that was killed, with 128 and the signal's number.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from squall.errors import ExitCode
from squall.hub.protocol import Assignment
from squall.logs import events
from squall_runner.agent import EXIT_CRASH, EXIT_OK, EXIT_TERMINATED, Agent
from squall_runner.ownlog import complain, open_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.logs.log import Log
    from squall_runner.load import Hooks, Load

MAX_ASSIGNMENT = 4 * 1024 * 1024
"""A manifest of at most 128 KiB, its variables, and some room."""
LEAVE_SECONDS = 1.0
"""How long what is left of the user's own code may take to end, after all else has ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one runner; returns its exit code."""
    parser = argparse.ArgumentParser(prog="squall-runner", description="Carries shards of a load test.")
    parser.add_argument(
        "--assignment", metavar="FILE", help="read the assignment from FILE, not standard input"
    )
    parser.add_argument("--pod", metavar="DIR", type=Path, help="be the pod whose run is described in DIR")
    options = parser.parse_args(arguments)
    if options.pod is not None:
        return _run_pod(options.pod)
    make_load = _engine()
    try:
        assignment = read_assignment(options.assignment)
    except EOFError:
        return EXIT_OK
    except (OSError, ValueError, msgspec.DecodeError) as error:
        complain(events.NO_ASSIGNMENT, message=str(error))
        return ExitCode.MANIFEST
    return run(assignment, make_load)


def _engine() -> Callable[[Assignment, str, Hooks], Load]:
    """What makes the load; loaded before the assignment is read: who is in a hurry starts this process and decides meanwhile."""
    from squall_runner.engine import Engine  # noqa: PLC0415 - `--help` answers at once

    gc.freeze()  # what is loaded stays: no collection needs to look at it again
    # The load makes little garbage in cycles but holds many objects, which each full collection would walk through.
    gc.set_threshold(50_000, 50, 100)
    gc.enable()

    def engine(assignment: Assignment, attempt: str, hooks: Hooks) -> Load:
        return Engine(assignment, attempt=attempt, hooks=hooks)

    return engine


def _run_pod(folder: Path) -> int:
    from squall_runner import pod  # noqa: PLC0415 - only pods need it

    # The first process of a container that says nothing about a signal never gets it. Until there is load, leaving is all it takes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    try:
        assignments = pod.read(folder, os.environ)
    except pod.PodError as error:
        complain(events.POD_INCOMPLETE, message=error.message, hint=error.hint)
        return ExitCode.MANIFEST
    if len(assignments) == 1:
        return run(assignments[0], _engine())
    return asyncio.run(pod.carry(assignments))


def read_assignment(path: str | None) -> Assignment:
    """The assignment in a file, or in the first line of standard input, which stays open.

    Raises:
        EOFError: Standard input ended before: there is nothing to do after all.
        OSError: It cannot be read.
        ValueError: It is too long.
        msgspec.DecodeError: It is none.
    """
    if path is not None:
        with open(path, "rb") as file:  # noqa: PTH123 - `-` and descriptors in /dev work too
            data = file.read(MAX_ASSIGNMENT + 1)
    else:
        data = _first_line(sys.stdin.fileno())
        if not data:
            raise EOFError
    if len(data) > MAX_ASSIGNMENT:
        raise ValueError(f"it is longer than {MAX_ASSIGNMENT} bytes")
    return msgspec.json.decode(data, type=Assignment)


def _first_line(descriptor: int) -> bytes:
    """Read up to the first line break and not a byte further: what follows is the life line's."""
    line = bytearray()
    while len(line) <= MAX_ASSIGNMENT and (part := os.read(descriptor, 65536)):
        line += part
        if b"\n" in part:
            break
    return bytes(line)


def run(assignment: Assignment, make_load: Callable[[Assignment, str, Hooks], Load]) -> int:
    """Run an agent with the load that `make_load` makes; returns the exit code."""
    try:
        log = open_log(assignment)
    except OSError as error:
        complain(events.NO_LOG, message=f"{assignment.log} cannot be written: {error.strerror}")
        return EXIT_CRASH
    try:
        return uvloop.run(_run(assignment, make_load, log))
    except ValueError as error:
        complain(events.MANIFEST_INVALID, message=str(error))
        return ExitCode.MANIFEST
    except KeyboardInterrupt:
        return EXIT_CRASH
    finally:
        if log is not None:
            log.close()


async def _run(
    assignment: Assignment, make_load: Callable[[Assignment, str, Hooks], Load], log: Log | None
) -> int:
    agent = Agent(assignment, make_load, log=log)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, agent.terminate)
    if assignment.exit_with_parent:
        # Ctrl-C in a terminal reaches the whole group; what it means is for the parent to decide.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        _hold_life_line(agent, sys.stdin.fileno())
    else:
        loop.add_signal_handler(signal.SIGINT, agent.terminate)
    code = await agent.run()
    if agent.problem and log is None:
        complain(events.RUNNER_LEAVES, message=agent.problem)
    await _leave(code, log)
    return code


async def _leave(code: int, log: Log | None) -> None:
    """End the process here if somebody would keep it: a task of the user's that refuses to end, or a thread of theirs.

    The event loop and the interpreter wait for both without a limit, and a runner that stays has a place on a machine.
    """
    pending = asyncio.all_tasks() - {asyncio.current_task()}
    for task in pending:
        task.cancel()
    if pending:
        _, pending = await asyncio.wait(pending, timeout=LEAVE_SECONDS)
    threads = [thread for thread in threading.enumerate() if not thread.daemon]
    if pending or len(threads) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        if log is not None:
            log.close()
        os._exit(code)


def _hold_life_line(agent: Agent, descriptor: int) -> None:
    """End when standard input ends: the kernel closes it whatever becomes of the parent."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            agent.orphaned()

    loop.add_reader(descriptor, read)
