"""Where a hub of its own pushes the metrics of its runs: options of `python -m squall.hub`, or environment variables of the same name.

It is the installation's choice alone. A hub works for all who may write a LoadTest, so an address from a manifest would be a way to have
somebody else's process send what, and where, one must not. Credentials are files, read again for each request, as whoever mounts
them replaces them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from squall.errors import UsageError
from squall.spec.outputchecks import RESERVED
from squall.spec.quantities import size_bytes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from squall.export.model import RemoteWrite

OPTIONS: Final = (
    ("url", "URL", "push the metrics of all runs here, by Prometheus remote write"),
    ("tenant", "NAME", "sent as X-Scope-OrgID"),
    ("username", "NAME", "of basic authentication"),
    ("password-file", "FILE", "its password"),
    ("bearer-token-file", "FILE", "token, instead of name and password"),
    ("ca-file", "FILE", "certificates (PEM) that alone vouch for the receiver"),
    ("cert-file", "FILE", "certificate (PEM) to present to it"),
    ("key-file", "FILE", "its private key (PEM)"),
    ("server-name", "NAME", "name to verify, when not the URL's host"),
    ("histograms", "native|classic", "how trends are pushed (default: native)"),
    ("histogram-schema", "0..6", "of native histograms: 2^schema buckets for each power of two (default: 6)"),
    ("labels", "NAME=VALUE,...", "added to every series"),
    (
        "max-series",
        "N",
        "the most series of a run; beyond, values are counted with fewer labels (default: 10000)",
    ),
    ("buffer", "SIZE", "what may wait for a receiver that is away, for each run (default: 8MiB)"),
    ("total-buffer", "SIZE", "and of all runs together, which then have equal parts (default: 128MiB)"),
)
"""Name, value and meaning of each; `--remote-write-NAME`, or `SQUALL_REMOTE_WRITE_NAME`."""
_LABEL: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(.+)")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    for name, value, text in OPTIONS:
        parser.add_argument(f"--remote-write-{name}", metavar=value, help=text.replace("%", "%%"))


def settings_of(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> RemoteWrite | None:
    """What the options and the environment say; None when nothing is to be pushed.

    Raises:
        UsageError: They make no sense.
    """
    given: dict[str, str] = {}
    for name, _, _ in OPTIONS:
        variable = "SQUALL_REMOTE_WRITE_" + name.upper().replace("-", "_")
        value = getattr(options, f"remote_write_{name.replace('-', '_')}") or environ.get(variable)
        if value:
            given[name] = value
    if not given:
        return None
    return _settings(given)


def _settings(given: Mapping[str, str]) -> RemoteWrite:
    from squall.export.model import BUFFER_BYTES, MAX_SERIES, Form, Receiver, RemoteWrite  # noqa: PLC0415
    from squall.export.sending import tls_context  # noqa: PLC0415 - loaded by those who push
    from squall.export.together import BUFFER_OF_ALL, Together  # noqa: PLC0415

    parts = urlsplit(given.get("url", ""))
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise _wrong("url", "http:// or https://, without credentials", given)
    histograms = given.get("histograms", "native")
    if histograms not in {"native", "classic"}:
        raise _wrong("histograms", "native or classic", given)
    receiver = Receiver(
        url=given["url"],
        authorization=_authorization(given),
        tenant=given.get("tenant", ""),
        ca_file=given.get("ca-file", ""),
        cert_file=given.get("cert-file", ""),
        key_file=given.get("key-file", ""),
        server_name=given.get("server-name", ""),
    )
    tls_context(receiver)  # what is wrong with it should be known before there is a run
    form = Form(
        histograms="native" if histograms == "native" else "classic",
        schema=_number("histogram-schema", given, 6, range(7)),
        labels=_labels(given),
        max_series=_number("max-series", given, MAX_SERIES, range(100, 1_000_001)),
    )
    together = Together(_size("total-buffer", given, BUFFER_OF_ALL))
    size = _size("buffer", given, BUFFER_BYTES)
    return RemoteWrite(receiver=receiver, form=form, buffer_bytes=size, together=together)


def _authorization(given: Mapping[str, str]) -> Callable[[], str]:
    from squall.export.manifest import basic  # noqa: PLC0415 - as above

    name, password, token = (given.get(each) for each in ("username", "password-file", "bearer-token-file"))
    if (name is None) != (password is None) or (name is not None and token is not None):
        raise UsageError(
            "--remote-write-username and --remote-write-password-file belong together, or a --remote-write-bearer-token-file alone",
            "give one of both ways",
        )
    if name is not None and password is not None:
        found, path = name, Path(password)
        header: Callable[[], str] = lambda: basic(found, _read(path))  # noqa: E731
    elif token is not None:
        secret = Path(token)
        header = lambda: f"Bearer {_read(secret)}"  # noqa: E731
    else:
        return str
    try:
        header()
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from error
    return header


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _labels(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    found = {}
    for text in filter(None, given.get("labels", "").split(",")):
        label = _LABEL.fullmatch(text.strip())
        if label is None or label[1] in RESERVED:
            raise _wrong("labels", "NAME=VALUE,NAME=VALUE with names that Squall does not set itself", given)
        found[label[1]] = label[2]
    return tuple(sorted(found.items()))


def _number(name: str, given: Mapping[str, str], default: int, allowed: range) -> int:
    text = given.get(name, str(default))
    if not (text.isdecimal() and int(text) in allowed):
        raise _wrong(name, f"a number from {allowed.start} to {allowed.stop - 1}", given)
    return int(text)


def _size(name: str, given: Mapping[str, str], default: int) -> int:
    try:
        return size_bytes(given[name]) if name in given else default
    except ValueError as error:
        raise _wrong(name, "for example 8MiB", given) from error


def _wrong(name: str, wanted: str, given: Mapping[str, str]) -> UsageError:
    value = given.get(name, "")
    shown = "not as it should be" if "@" in value else f'"{value}"'  # a password should not end up in a log
    return UsageError(f"--remote-write-{name} is {shown}", f"give {wanted}")
