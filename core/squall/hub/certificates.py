"""The certificate of a server, the hub's or the operator's, taken from two files that may be replaced at any time.

Certificates last for weeks and are renewed by somebody else, who writes other files in place of the old ones. A hub must not be restarted
for that: it holds the connections of runs. So each new connection is greeted with what the files hold at that moment; those that are
there keep what they were greeted with.

Both files are looked at before they are read, and read into a context of their own. Where the two do not belong together - somebody is
just writing them, or has made a mistake - the last good certificate stays.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from squall.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_Look = tuple[tuple[int, int, int], ...]
"""What tells two states of the files apart: number, size and time of each."""


class Certificates:
    """A certificate and its key.

    Args:
        certificate: The file with the certificate, and those between it and the authority's, in PEM.
        key: The file with its private key, in PEM without a password.
        say: Told of a renewal, and of one that is not usable.

    Raises:
        UsageError: The files cannot be used now.
    """

    def __init__(self, certificate: Path, key: Path, say: Callable[[str, str], None]) -> None:
        self._files = (certificate, key)
        self._say = say
        try:
            self._seen = self._look()
            self._current = self._load()
            self.context = self._load()
            """For the server's socket."""
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(
                f"no TLS with {certificate} and {key}: {_why(error)}",
                "give a certificate and its own private key, both in PEM and without a password",
            ) from error
        # Called for each connection, whether or not the client names whom it wants to talk to.
        self.context.sni_callback = self._greet

    def _greet(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> None:
        del name, context
        self._take_up()
        connection.context = self._current

    def _take_up(self) -> None:
        """Use what the files hold, if that is something new and good."""
        look = self._look()
        if look == self._seen:
            return
        self._seen = look  # a state that was refused is not tried again
        try:
            self._current = self._load()
        except OSError as error:
            self._say("error", f"the new certificate cannot be used, the last one stays: {_why(error)}")
        else:
            self._say("info", "the certificate was renewed")

    def _look(self) -> _Look:
        return tuple(_state(path) for path in self._files)

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate, key = self._files
        for path in self._files:
            path.read_bytes()  # whose error names the file, which that of the next line does not
        # A key with a password would otherwise be asked for at a terminal that nobody sits at.
        context.load_cert_chain(certificate, key, password=lambda: b"")
        return context


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0  # reading it will say what is wrong
    return found.st_ino, found.st_size, found.st_mtime_ns


def _why(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return str(error)
    return (
        str(error.reason).replace("_", " ").lower()
        if error.reason
        else "one of them is not what it should be"
    )
