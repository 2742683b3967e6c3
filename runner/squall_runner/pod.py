"""A pod of runners: from a folder of mounted ConfigMaps and Secrets to the assignments of its processes.

Everything in the folder was written by somebody who is gone by now, through layers that can lose a piece. Whoever looks at the
pod's log has nothing else to go by, so whatever is missing or damaged is named, with the file it should be in. No value is ever
part of a message: some are secrets.

One event loop uses one CPU. A pod with several CPUs runs that many runners as children of this process, which does nothing but
pass signals to them and their exit codes on.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from squall.errors import SquallError
from squall.hub import assignment as given
from squall.hub.protocol import Assignment
from squall.local.launcher import COMMAND, Launcher
from squall.logs import events
from squall.logs.choices import STANDARD_ERROR
from squall_runner.ownlog import complain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from squall.hub.assignment import Content

Kind = TypeVar("Kind")


class PodError(SquallError):
    """The pod was not given what it needs."""


def read(folder: Path, environ: Mapping[str, str]) -> tuple[Assignment, ...]:
    """The assignment of each of this pod's processes; at least one.

    Args:
        folder: See `squall.hub.assignment`.
        environ: This process's environment, which tells the pod's index.

    Raises:
        PodError: Something is missing or damaged.
    """
    shared = _decoded(_bytes(folder / given.RUN), given.PodAssignment, folder / given.RUN)
    _check(shared)
    pods = given.pods(shared.shards, shared.shards_per_pod, shared.processes_per_pod)
    index = _index(environ, len(pods))
    template = Assignment(
        run=shared.run,
        hub=shared.hub,
        hub_ca=_certificates(folder, shared),
        token=_text(folder / given.TOKEN).strip(),
        runner=0,
        shards=(),
        manifest=_decoded(_content(folder, shared.manifest), dict[str, Any], folder / shared.manifest.path),
        variables=shared.variables,
        secrets={name: _text(folder / given.SECRETS / name) for name in shared.secrets},
        files={
            name: str(_file(folder, Path(shared.scratch), name, content))
            for name, content in shared.files.items()
        },
        allowed_hosts=shared.allowed_hosts,
        log=STANDARD_ERROR,
    )
    planned = template.manifest.get("spec", {}).get("shards", 1)
    if planned != shared.shards:
        raise PodError(f"{given.RUN} speaks of {shared.shards} shards, the manifest of {planned}")
    first = sum(len(processes) for processes in pods[:index])
    return tuple(
        msgspec.structs.replace(template, runner=first + number, shards=shards)
        for number, shards in enumerate(pods[index])
    )


def _check(shared: given.PodAssignment) -> None:
    numbers = (shared.shards, shared.shards_per_pod, shared.processes_per_pod)
    if min(numbers) < 1:
        raise PodError(f"{given.RUN} asks for {numbers} shards, shards per pod and processes, each from 1")
    if not shared.hub.startswith(("http://", "https://")):
        raise PodError(f'{given.RUN} names "{shared.hub}" as the hub, which is no http or https URL')
    if shared.hub_ca and not shared.hub.startswith("https://"):
        raise PodError(
            f"{given.RUN} gives certificates for a hub that is reached without TLS", "write https://"
        )


def _index(environ: Mapping[str, str], count: int) -> int:
    text = environ.get(given.INDEX_VARIABLE)
    if text is None:
        raise PodError(
            f"{given.INDEX_VARIABLE} is not set", "this pod belongs to a Job with completionMode: Indexed"
        )
    if not (text.isascii() and text.isdigit() and int(text) < count):
        raise PodError(f'{given.INDEX_VARIABLE} is "{text}"; the run has the pods 0 to {count - 1}')
    return int(text)


def _certificates(folder: Path, shared: given.PodAssignment) -> str:
    if not shared.hub_ca:
        return ""
    path = folder / shared.hub_ca
    if b"-----BEGIN CERTIFICATE-----" not in _bytes(path):
        raise PodError(f"{path} holds no certificate in PEM")
    return str(path)


def _file(folder: Path, scratch: Path, name: str, content: Content) -> Path:
    """Where a file of the manifest lies, complete."""
    if content.pieces == 0:
        place = folder / content.path
        if not place.is_file():
            raise PodError(f'{place}, the file "{name}" of the manifest, is not there')
        if content.within and not place.resolve().is_relative_to(Path(content.within).resolve()):
            raise PodError(
                f'{place}, the file "{name}" of the manifest, leads out of its volume',
                "name a file of the volume itself, without .. and without links to elsewhere",
            )
        return place
    if Path(name).name != name:
        raise PodError(f'"{name}" is no name of a file')
    place = scratch / given.FILES / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            for part in _unfolded(folder / content.path, content):
                file.write(part)
    except OSError as error:
        raise PodError(
            f'{place}, where the file "{name}" is put together, cannot be written: {error.strerror}',
            "mount an emptyDir there",
        ) from error
    return place


def _content(folder: Path, content: Content) -> bytes:
    place = folder / content.path
    return _bytes(place) if content.pieces == 0 else b"".join(_unfolded(place, content))


def _unfolded(place: Path, content: Content) -> Iterator[bytes]:
    """What is packed into the pieces at a place; a piece is read when its turn has come."""
    pieces = (_bytes(place.with_name(f"{place.name}.{number}")) for number in range(content.pieces))
    try:
        yield from given.unfold(pieces, content.size)
    except ValueError as error:
        raise PodError(f"{place}.0 to .{content.pieces - 1} cannot be put together: {error}") from error


def _decoded(data: bytes, kind: type[Kind], place: Path) -> Kind:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise PodError(f"{place} makes no sense: {error}") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PodError(f"{path} cannot be read: {error.strerror}") from error


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError:
        raise PodError(f"{path} is not UTF-8") from None


async def carry(assignments: Sequence[Assignment], command: Sequence[str] = COMMAND) -> int:
    """Run a process for each assignment, until all have ended.

    One that ends early does not take the others along: whether the run goes on without it is for the hub to decide, and it
    tells all who are left.

    Args:
        assignments: One for each process.
        command: How a runner is started.

    Returns:
        0 when all ended well, else the exit code of the first that did not; of one that was killed 128 and the signal's number.

    Raises:
        OSError: A process cannot be started; none is left then.
    """
    supervisor = _Supervisor(Launcher(sys.stderr.buffer, command), len(assignments))
    return await supervisor.run(assignments)


class _Supervisor:
    def __init__(self, launcher: Launcher, count: int) -> None:
        self._launcher = launcher
        self._left = count
        self._ended: dict[int, int] = {}
        self._told = False
        self._done = asyncio.Event()

    async def run(self, assignments: Sequence[Assignment]) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate)
        try:
            own = [msgspec.structs.replace(each, exit_with_parent=True) for each in assignments]
            await self._launcher.start(own, self._on_exit)
            if self._told:
                self._launcher.tell_all(signal.SIGTERM)  # also those that were not there yet
            await self._done.wait()
        finally:
            await self._launcher.close()
        return next((code for code in self._ended.values() if code), 0)

    def _on_exit(self, runner: int, code: int) -> None:
        if code < 0:
            code = 128 - code
        self._ended[runner] = code
        if code:
            complain(
                events.PROCESS_ENDED,
                message=f"runner {runner} ended with code {code}",
                runner=runner,
                code=code,
            )
        if len(self._ended) == self._left:
            self._done.set()

    def _terminate(self) -> None:
        self._told = True
        self._launcher.tell_all(signal.SIGTERM)
