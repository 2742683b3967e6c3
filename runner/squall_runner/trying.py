"""`python -m squall_runner.trying`: one iteration of each scenario, told event by event.

People write a manifest by trying it. So the very engine that makes the load runs setup, one iteration of each scenario
and teardown, with somebody watching every step. The assignment comes in as one line of JSON on standard input; events go
out as lines of JSON on standard output, with secrets already masked: what reads them may print them as they are.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

import msgspec
import uvloop

from squall.errors import ExitCode, SquallError
from squall.logs.masking import in_each_text
from squall.spec.secrets import Secrets, shortened
from squall_runner.engine import Engine
from squall_runner.http import Headers, encode_target
from squall_runner.load import Hooks, LoadError
from squall_runner.main import read_assignment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.hub.protocol import Assignment
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Request, Response
    from squall_runner.steps.context import Site

MAX_BODY: Final = 4_000
"""Characters of a body that are shown."""
_NOTES_SHOWN: Final = frozenset({"python_log", "too_few_files", "DataExhausted"})


class Telling:
    """Tells everything that happens, as events; an `Observer`.

    Args:
        emit: Takes an event.

    Attributes:
        held: Checks that held.
        broken: Checks that did not.
        failures: Steps that failed.
    """

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit
        self.held = 0
        self.broken = 0
        self.failures = 0

    def step(self, site: Site, vu: Vu) -> None:
        """A step begins."""
        self._emit("step", name=site.name, place=site.place, vu=vu.id)

    def exchange(self, site: Site, vu: Vu, request: Request, response: Response, *, failed: bool) -> None:  # noqa: ARG002 - as in `Observer`
        """A request has ended."""
        self._emit(
            "exchange",
            step=site.name,
            method=request.method,
            url=request.url,
            headers=_header_lines(request.head),
            body=_sent_body(request.body),
            redirects=[{"status": hop.status, "url": hop.request.url} for hop in response.redirects],
            status=response.status,
            reason=response.reason,
            error=response.error,
            message=response.error_message,
            response_headers=response.headers.lines() if response.status else [],
            response_body=_received_body(response),
            size=response.size,
            reused=response.reused,
            timing={
                "blocked": response.blocked,
                "dns": response.dns,
                "connect": response.connect,
                "tls": response.tls,
                "sending": response.sending,
                "waiting": response.waiting,
                "receiving": response.receiving,
                "total": response.end
                - (response.redirects[0].start if response.redirects else response.start),
            },
        )

    def check(
        self, site: Site, name: str, source: str, *, held: bool, seen: Mapping[str, Any], why: str
    ) -> None:
        """A check was evaluated."""
        self.held += held
        self.broken += not held
        shown = {key: _short(value) for key, value in seen.items()}
        self._emit("check", step=site.name, name=name, source=source, held=held, seen=shown, why=why)

    def value(self, site: Site, name: str, value: Any) -> None:
        """A name was given a value."""
        self._emit("value", step=site.name, name=name, value=_short(value))

    def act(  # noqa: PLR0917 - as in `Observer`
        self,
        site: Site,
        vu: Vu,  # noqa: ARG002 - as in `Observer`
        action: str,
        duration: float,
        error: str,
        details: Mapping[str, Any],
    ) -> None:
        """A step has done something on a chain."""
        shown = {key: _short(value) for key, value in details.items() if value not in {"", None}}
        self._emit("act", step=site.name, action=action, duration=duration, error=error, details=shown)

    def failure(self, site: Site, error: str, message: str, hint: str) -> None:
        """A step failed."""
        self.failures += 1
        self._emit(
            "failure",
            step=site.name,
            error=error,
            message=message,
            hint=hint,
            goes_on=site.on_error == "continue",
        )


def _header_lines(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    fields = [tuple(line.split(": ", 1)) for line in lines if ": " in line]
    return [
        (name, "Basic ***")
        if name.lower() == "authorization" and value.startswith("Basic ")
        else (name, value)
        for name, value in fields
    ]


def _sent_body(body: Any) -> str:
    if body is None:
        return ""
    return _text(body) if isinstance(body, bytes) else f"<{body.length} bytes, streamed>"


def _received_body(response: Response) -> str:
    if response.error or not response.size:
        return ""
    try:
        return _text(response.body)
    except ValueError as error:
        return f"<{response.size} bytes: {error}>"


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"<{len(data)} bytes>"
    return text if len(text) <= MAX_BODY else f"{text[:MAX_BODY]}... <{len(data)} bytes in all>"


def _short(value: Any) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Headers):
        value = dict(value)
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        text = str(value)
    except RecursionError:
        text = "<nested too deeply to be shown>"
    return shortened(text, 300)


def masker(secrets: Mapping[str, str]) -> Callable[[Any], Any]:
    """What replaces secrets in every text of an event: as they are, and as URLs, forms and JSON write them."""
    forms: dict[str, str] = {}
    for name, value in secrets.items():
        written = (
            value,
            quote(value, safe=""),
            encode_target(f"/{value}").decode("ascii")[1:],
            quote_plus(value),
            msgspec.json.encode(value).decode()[1:-1],
        )
        forms |= {f"{name}/{number}": form for number, form in enumerate(written)}
    mask = Secrets(forms).mask
    return lambda value: in_each_text(value, mask)


def main() -> int:
    """Try the manifest of the assignment on standard input; returns the exit code."""
    assignment = read_assignment(None)
    mask = masker(assignment.secrets)

    def emit(event: str, **fields: Any) -> None:
        line = msgspec.json.encode({"event": event, **mask(fields)})
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()

    try:
        return uvloop.run(_try(assignment, emit))
    except KeyboardInterrupt:
        return ExitCode.USER
    except BrokenPipeError:
        return ExitCode.PASSED


async def _try(assignment: Assignment, write: Callable[..., None]) -> int:
    def emit(event: str, **fields: Any) -> None:
        write(
            event, **in_each_text(fields, engine.mask)
        )  # it knows the tokens, which the assignment does not

    telling = Telling(emit)

    def note(level: str, event: str, **fields: Any) -> None:
        if event in _NOTES_SHOWN or fields.get("error") == "internal":
            emit("note", level=level, fields=fields)

    def abort(reason: str, message: str) -> None:
        emit(
            "note", level="error", fields={"message": f"this would end the run: {message}", "reason": reason}
        )

    engine = Engine(
        assignment,
        attempt="try",
        hooks=Hooks(note=note, abort=abort, probe=lambda ok, message: None),  # noqa: ARG005 - nothing probes here
        observer=telling,
    )
    try:
        failed = await _carry_out(engine, emit)
    except SquallError as error:
        reason = error.reason if isinstance(error, LoadError) else type(error).__name__
        emit("error", reason=reason, message=error.message, hint=error.hint)
        return _exit_code(error)
    finally:
        await engine.close()
    passed = not (failed or telling.broken or telling.failures)
    emit("end", held=telling.held, broken=telling.broken, failures=telling.failures, passed=passed)
    return ExitCode.PASSED if passed else ExitCode.THRESHOLDS


async def _carry_out(engine: Engine, emit: Callable[..., None]) -> bool:
    """Setup, one iteration of each scenario, teardown; whether an iteration failed."""
    failed = False
    await engine.prepare()
    if engine.has_setup:
        emit("section", name="setup", kind="setup")
    engine.use_setup(await engine.setup())
    try:
        for name in engine.scenario_names:
            emit("section", name=name, kind="scenario")
            outcome = await engine.iterate_once(name)
            failed = failed or outcome != "completed"
            emit("outcome", name=name, outcome=outcome)
    finally:
        if engine.has_teardown:
            emit("section", name="teardown", kind="teardown")
        if engine.has_teardown or engine.has_chain:
            await asyncio.shield(engine.teardown())
    return failed


def _exit_code(error: SquallError) -> int:
    if isinstance(error, LoadError) and error.reason in {"SetupFailed", "TeardownFailed"}:
        return ExitCode.THRESHOLDS
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
