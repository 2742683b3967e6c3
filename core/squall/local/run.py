"""`squall run`: the hub in this process, the runners beside it, a results folder, and the signals of whoever watches.

Order matters. The results folder is made before anything is started, so that a run whose results could not be kept
sends no load. Whatever happens afterwards, runners are ended before this returns.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from squall.errors import UsageError
from squall.hub.hub import Hub
from squall.hub.model import RunSpec
from squall.hub.protocol import Assignment
from squall.local.chainjournal import keeping_journal
from squall.local.interrupts import Interrupts
from squall.local.packing import pack
from squall.local.placing import laid_out
from squall.logs.choices import LEVEL_VARIABLE, level_of
from squall.logs.log import Log
from squall.report.folder import LOG, RUNNERS, ResultsFolder
from squall.spec.loadtest import LoadTest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from squall.export.model import RemoteWrite
    from squall.hub.driver import Run
    from squall.local.launcher import Launcher
    from squall.report.live import View
    from squall.report.model import Summary
    from squall.spec.files import LocalFile
    from squall.spec.outputs import Outputs

HOST = "127.0.0.1"
FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """What to run, and how.

    Attributes:
        name: The LoadTest's name.
        manifest: The effective manifest as plain data.
        shards: Logical shares of the load.
        variables: Values of the manifest's variables, secrets excepted.
        secrets: Values of its secret variables.
        files: The files of the manifest.
        results: Folder that results folders are made in.
        processes: Runner processes at most.
        options: What the command line changed, for the report.
        prometheus_url: Where thresholds with `query` are asked; empty when nowhere.
        mask: Replaces secrets in a text.
        log_level: Of what is logged, where the command line names one.
        judge: Has the last word on the summary, such as a comparison with a baseline.
    """

    name: str
    manifest: dict[str, Any]
    shards: int
    variables: Mapping[str, Any]
    secrets: Mapping[str, str]
    files: Mapping[str, LocalFile]
    results: Path
    processes: int
    options: dict[str, Any] = field(default_factory=dict)
    prometheus_url: str = ""
    mask: Callable[[str], str] = str
    log_level: str = ""
    judge: Callable[[Summary], Summary] = lambda summary: summary


async def run_local(
    request: LocalRun, launcher: Launcher, view: View
) -> tuple[Summary, ResultsFolder, list[str]]:
    """Carry out a run.

    Args:
        request: What to run.
        launcher: Starts the runners, or has started them to wait; closed when this returns.
        view: Shows the run.

    Returns:
        The summary, the folder that holds it, and what could not be written.

    Raises:
        UsageError: The results folder cannot be made; nothing was started.
        SquallError: The manifest cannot be run; nothing was started.
    """
    run_id = secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        folder = ResultsFolder.create(request.results, request.name, run_id, datetime.now(UTC))
        problems = folder.write_manifest(request.manifest)
        outputs = LoadTest.model_validate(request.manifest).spec.outputs
        log = stack.enter_context(contextlib.closing(_log(request, outputs, folder)))
        launched = _Launched(run_id, folder, launcher, outputs)
        summary = request.judge(
            await _carry_out(request, launched, log=log, view=view, interrupts=interrupts)
        )
        problems += folder.write(summary)
        problems += folder.write_runner_log(request.mask(launcher.printed()))
    if log.problem:
        problems.append(log.problem)
    return summary, folder, problems


@dataclass(frozen=True, slots=True)
class _Launched:
    """A run that has a place and processes."""

    run: str
    folder: ResultsFolder
    launcher: Launcher
    outputs: Outputs | None


def _log(request: LocalRun, outputs: Outputs | None, folder: ResultsFolder) -> Log:
    """The run's log.

    Raises:
        UsageError: It cannot be made.
    """
    level = outputs.logs.level if outputs and outputs.logs else None
    try:
        return Log(
            folder.path / LOG,
            "hub",
            level=level_of(request.log_level, level, os.environ.get(LEVEL_VARIABLE)),
            mask=request.mask,
        )
    except OSError as error:
        raise UsageError(f"{folder.path / LOG} cannot be written: {error.strerror}") from error


async def _carry_out(
    request: LocalRun, launched: _Launched, *, log: Log, view: View, interrupts: Interrupts
) -> Summary:
    places = laid_out(request.files, launched.folder.path / FILES)
    folder = launched.folder.path
    hub = Hub(
        secrets.token_bytes(32),
        log=keeping_journal(log.tell, folder, launched.run, request.manifest["metadata"]["name"]),
        remote_write=_remote_write(request, launched.outputs, places),
    )
    runners = pack(request.shards, request.processes)
    try:
        url = await hub.start(HOST, 0)
        run = hub.add_run(
            RunSpec(
                run=launched.run,
                manifest=request.manifest,
                runners=runners,
                options=request.options,
                folder=str(launched.folder.path),
                prometheus_url=request.prometheus_url,
            )
        )
        template = Assignment(
            run=launched.run,
            hub=url,
            token=hub.token(launched.run),
            runner=0,
            shards=(),
            manifest=request.manifest,
            variables=dict(request.variables),
            secrets=dict(request.secrets),
            files=places,
            exit_with_parent=True,
            log=_runners_log(launched),
            log_level=request.log_level,
        )
        assignments = [
            msgspec.structs.replace(template, runner=index, shards=shards)
            for index, shards in enumerate(runners)
        ]
        interrupts.attach(run, launched.launcher.suspend)
        await _watch(run, launched.launcher, assignments, view)
    finally:
        await launched.launcher.close()
        await hub.close()
    assert run.outcome is not None
    return run.outcome.summary


def _runners_log(launched: _Launched) -> str:
    """The file that all runners write iterations to, if the manifest asks for it."""
    outputs = launched.outputs
    if outputs is None or outputs.logs is None or outputs.logs.iterations is None:
        return ""
    return str(launched.folder.path.resolve() / RUNNERS)


def _remote_write(
    request: LocalRun, outputs: Outputs | None, places: Mapping[str, str]
) -> RemoteWrite | None:
    """Where the hub pushes metrics, if the manifest says so.

    Raises:
        UsageError: Files for TLS cannot be used.
    """
    if outputs is None or outputs.prometheus is None:
        return None
    from squall.export.manifest import settings_of  # noqa: PLC0415 - what it needs is loaded by those who push
    from squall.export.sending import tls_context  # noqa: PLC0415

    settings = settings_of(outputs.prometheus, secrets=request.secrets, files=places)
    tls_context(settings.receiver)  # what is wrong with it should be known before there is load
    return settings


async def _watch(run: Run, launcher: Launcher, assignments: list[Assignment], view: View) -> None:
    view.begin()
    try:
        await launcher.start(assignments, run.runner_exited)
        async for state in run.watch():
            view.update(state)
        await run.finished()
    finally:
        view.end()
