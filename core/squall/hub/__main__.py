"""`python -m squall.hub`: a hub of its own, for clusters and for whoever wants runs to outlive the process that added them.

The installation's key is taken from the environment variable `SQUALL_HUB_KEY`, or from the file that `--key-file` names. What it
listens on is printed as one line of JSON. With `--tls-cert-file` and `--tls-key-file` it serves HTTPS, with `--remote-write-url` it
pushes the metrics of all its runs, and with `--metrics-listen` it tells how it is doing itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from squall.errors import ExitCode, SquallError, UsageError
from squall.hub import receiver
from squall.hub.certificates import Certificates
from squall.hub.hub import Hub
from squall.logs import events
from squall.logs.choices import (
    DEFAULT_FORM,
    DEFAULT_LEVEL,
    FORM_VARIABLE,
    FORMS,
    LEVEL_VARIABLE,
    LEVELS,
    STANDARD_ERROR,
)
from squall.logs.log import Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence


KEEP_SECONDS: Final = 86400.0
"""How long a run is kept that has finished and that nobody has forgotten: an operator that was away so long has lost its outcome."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m squall.hub", description="Serves the runners of load tests."
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:4180", metavar="HOST:PORT", help="port 0 takes a free one"
    )
    parser.add_argument(
        "--state-dir", type=Path, metavar="DIR", help="keep runs here, and take them up again"
    )
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="holds the installation's key")
    parser.add_argument(
        "--tls-cert-file", type=Path, metavar="FILE", help="certificate chain (PEM); serve HTTPS"
    )
    parser.add_argument(
        "--tls-key-file",
        type=Path,
        metavar="FILE",
        help="its private key (PEM); both are taken up again when renewed",
    )
    parser.add_argument(
        "--metrics-listen",
        default="",
        metavar="HOST:PORT",
        help="serve the hub's own metrics there, as /metrics without authentication; port 0 takes a free one",
    )
    parser.add_argument(
        "--log-level",
        type=_one_of(LEVELS),
        default=os.environ.get(LEVEL_VARIABLE, DEFAULT_LEVEL),
        metavar="|".join(LEVELS),
        help=f"leave out lines below it; default: {LEVEL_VARIABLE}, else {DEFAULT_LEVEL}",
    )
    parser.add_argument(
        "--log-format",
        type=_one_of(FORMS),
        default=os.environ.get(FORM_VARIABLE, DEFAULT_FORM),
        metavar="|".join(FORMS),
        help=f"auto: words for a terminal, else JSON; default: {FORM_VARIABLE}, else {DEFAULT_FORM}",
    )
    receiver.add_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to terminate."""
    parser = _parser()
    options = parser.parse_args(arguments)
    key = _key(options.key_file)
    if not key:
        parser.error("a key is needed (SQUALL_HUB_KEY or --key-file)")
    try:
        address = _address("--listen", options.listen)
        metrics = _address("--metrics-listen", options.metrics_listen) if options.metrics_listen else None
    except ValueError as error:
        parser.error(str(error))
    if (options.tls_cert_file is None) != (options.tls_key_file is None):
        parser.error("--tls-cert-file and --tls-key-file belong together: give both, or neither")
    log = Log(STANDARD_ERROR, "hub", level=options.log_level, form=options.log_format)
    log.take_over()
    try:
        certificates = _certificates(options.tls_cert_file, options.tls_key_file, log)
        hub = Hub(
            key,
            folder=options.state_dir,
            log=log.tell,
            remote_write=receiver.settings_of(options, os.environ),
            keep_seconds=KEEP_SECONDS,
        )
        asyncio.run(_serve(hub, address, certificates, metrics))
    except SquallError as error:
        print(f"{error.message}; {error.hint}" if error.hint else error.message, file=sys.stderr)  # noqa: T201 - the process's only voice
        return error.exit_code
    finally:
        log.close()
    return ExitCode.PASSED


def _key(path: Path | None) -> bytes:
    if path is not None:
        return path.read_bytes().strip()
    return os.environ.get("SQUALL_HUB_KEY", "").encode()


def _address(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isdecimal() and int(port) < 65536):
        raise ValueError(f"{option} is HOST:PORT, not {text}")
    return host, int(port)


def _one_of(known: Sequence[str]) -> Callable[[str], str]:
    """Takes one of these words, also from the environment, where argparse looks at no `choices`."""

    def check(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(known)}")
        return text

    return check


def _certificates(certificate: Path | None, key: Path | None, log: Log) -> Certificates | None:
    if certificate is None or key is None:
        return None
    return Certificates(
        certificate, key, lambda level, text: log.tell(level, events.CERTIFICATE, {"message": text})
    )


async def _serve(
    hub: Hub, address: tuple[str, int], certificates: Certificates | None, metrics: tuple[str, int] | None
) -> None:
    listens = {"url": await hub.start(*address, certificates)}
    try:
        async with _metrics_of(hub, metrics) as url:
            if url:
                listens["metrics"] = url
            print(json.dumps(listens), flush=True)  # noqa: T201 - whoever started it waits for this line
            told = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, told.set)
            await told.wait()
    finally:
        await hub.close()


@asynccontextmanager
async def _metrics_of(hub: Hub, address: tuple[str, int] | None) -> AsyncIterator[str]:
    """Serve the hub's own metrics for as long as the block lasts; gives their URL, empty when nobody wants them."""
    if address is None:
        yield ""
        return
    try:
        from squall.hub import telemetry  # noqa: PLC0415 - what it needs is installed with the operator
    except ImportError as error:
        raise UsageError(
            "--metrics-listen needs Prometheus' client", "install it with: pip install 'squall[operator]'"
        ) from error
    web, url = await telemetry.serve(telemetry.registry_of(hub), *address)
    try:
        yield url
    finally:
        await web.cleanup()


if __name__ == "__main__":
    sys.exit(main())
