"""`python -m squall.hub`: a hub of its own, for clusters and for whoever wants runs to outlive the process that added them.

The installation's key is taken from the environment variable `SQUALL_HUB_KEY`, or from the file that `--key-file` names. What it
listens on is printed as one line of JSON. With `--tls-cert-file` and `--tls-key-file` it serves HTTPS, and with `--remote-write-url` it
pushes the metrics of all its runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from squall.errors import ExitCode, SquallError
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
    from collections.abc import Callable, Sequence


KEEP_SECONDS: Final = 86400.0
"""How long a run is kept that has finished and that nobody has forgotten: an operator that was away so long has lost its outcome."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to terminate."""
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
    options = parser.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    key = _key(options.key_file)
    if not key or not port.isdigit():
        parser.error("a key is needed (SQUALL_HUB_KEY or --key-file)" if not key else "--listen is HOST:PORT")
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
        asyncio.run(_serve(hub, host, int(port), certificates))
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


async def _serve(hub: Hub, host: str, port: int, certificates: Certificates | None) -> None:
    url = await hub.start(host, port, certificates)
    print(json.dumps({"url": url}), flush=True)  # noqa: T201 - whoever started it waits for this line
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
    await hub.close()


if __name__ == "__main__":
    sys.exit(main())
