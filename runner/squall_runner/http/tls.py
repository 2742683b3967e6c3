"""TLS for the client: what is trusted, what is presented, and sessions that are resumed.

asyncio offers no way to pass a session to a new connection, so a full handshake would be measured every time. The
context here remembers the last session of each host and slips it in where the event loop wraps the connection.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from squall.errors import InfrastructureError

_MAX_SESSIONS = 256


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What to trust and what to present.

    Attributes:
        ca_file: PEM file of the authorities to trust instead of the system's; empty: the system's.
        cert_file: PEM file of the client's certificate chain; empty: none is presented.
        key_file: PEM file of its key; empty: it is in `cert_file`.
        key_password: Password of the key, if it has one.
        server_name: Name to ask for (SNI) and to verify instead of the URL's host; empty: the URL's host.
        insecure_skip_verify: Accept any certificate. Only ever by the user's explicit word.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False


class ResumingContext(ssl.SSLContext):
    """A client context that resumes the last session it had with each host.

    asyncio and uvloop both create their connections with `wrap_bio`.
    """

    def __init__(self, *_protocol: object) -> None:
        super().__init__()
        self._sessions: dict[str, ssl.SSLSession] = {}

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature of the standard library
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Wraps as its parent does, with the remembered session."""
        if session is None and isinstance(server_hostname, str):
            session = self._sessions.get(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def remember(self, name: str, session: ssl.SSLSession | None) -> None:
        """Keeps a session for the next connection to that host; the number of hosts is bounded."""
        if session is None or not session.has_ticket:
            return
        if name not in self._sessions and len(self._sessions) >= _MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[name] = session


def make_context(options: TlsOptions) -> ResumingContext:
    """Builds the context for all connections with these options; reading the system's authorities takes a while.

    Raises:
        InfrastructureError: A file cannot be read or does not hold what it should.
    """
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        if options.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif options.ca_file:
            context.load_verify_locations(options.ca_file)
        else:
            context.load_default_certs()
        if options.cert_file:
            context.load_cert_chain(options.cert_file, options.key_file or None, options.key_password or None)
    except (OSError, ssl.SSLError) as exc:
        used = ", ".join(name for name in (options.ca_file, options.cert_file, options.key_file) if name)
        hint = "the files must exist, be readable and hold PEM blocks; the key must belong to the certificate"
        raise InfrastructureError(f"TLS files cannot be used ({used}): {exc}", hint) from exc
    return context
