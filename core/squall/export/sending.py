"""Carries requests to a receiver, one after the other, and knows when to try again.

Nothing here can hold up a run: requests wait in a bounded buffer, and are sent by a task of their own. A receiver that is away or asks for
patience (no answer, 5xx, 429) is tried again with growing pauses; one that says that a request is wrong will say so again, so that
request is over. A request is never changed between two tries: a receiver takes all of one or nothing, so it can be repeated.

Addresses are looked at before a connection is opened, when a policy says where load may go: this may run in the pod of somebody who
would like to reach what they must not. Redirects are not followed, and proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp

from squall import __version__
from squall.errors import UsageError
from squall.export.resolving import Resolver
from squall.export.wire import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.export.buffer import Buffer
    from squall.export.model import Receiver
    from squall.export.wire import Body

TIMEOUT_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 5.0
LONGEST_PATIENCE_SECONDS: Final = 60.0
"""A receiver that asks for more (`Retry-After`) is tried again after this."""
QUIET_SECONDS: Final = 60.0
"""That the receiver fails is not said again for this long, and each time twice as long: one that limits what it takes fails every other
second, and what is said has its place in the run's timeline, which is bounded."""
_MAX_ANSWER: Final = 4096
_MAX_TEXT: Final = 200
_TOO_MANY: Final = 429


@dataclass(slots=True)
class Counts:
    """What became of samples, and how often something was tried again."""

    sent: int = 0
    refused: int = 0
    dropped: int = 0
    retries: int = 0


class Sender:
    """Sends what is in a buffer, for as long as `run` does.

    Args:
        receiver: Where to.
        buffer: What waits.
        counts: Kept up to date.
        say: Told of what people should know: level, event and message.

    Raises:
        UsageError: A file for TLS cannot be used.
    """

    def __init__(
        self, receiver: Receiver, buffer: Buffer, counts: Counts, say: Callable[[str, str, str], None]
    ) -> None:
        self._receiver = receiver
        self._buffer = buffer
        self._counts = counts
        self._say = say
        self._ssl = tls_context(receiver)
        self._resolver = Resolver(receiver.policies)
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._pause = 0.0
        self._refusals: set[int] = set()
        self._told = False
        self._quiet_until, self._quiet = 0.0, QUIET_SECONDS
        self.problem = ""
        """Why the receiver does not take anything at the moment; empty while it does."""

    def wake(self) -> None:
        """Something was put into the buffer."""
        self._empty.clear()
        self._news.set()

    def hurry(self) -> None:
        """There is not much time left: pauses are over, and short from now on."""
        self._hurry.set()

    def late(self) -> None:
        """There is no time left, and what is on its way has no answer."""
        self.problem = self.problem or "no answer"

    async def drained(self) -> None:
        """Wait until nothing waits any more."""
        await self._empty.wait()

    async def run(self) -> None:
        """Send, until cancelled."""
        connector = aiohttp.TCPConnector(ssl=self._ssl or True, resolver=self._resolver, limit=1)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            while True:
                while len(self._buffer):
                    await self._send_first(session)
                self._news.clear()
                self._empty.set()
                await self._news.wait()

    async def _send_first(self, session: aiohttp.ClientSession) -> None:
        body = self._buffer.hold()
        try:
            status, patience, text = await self._post(session, body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = getattr(error, "os_error", error)  # what is wrapped says it better
            await self._again(str(why) or type(error).__name__, 0.0)
            return
        if status < 300:
            self._counts.sent += body.samples
            self._works()
        elif status >= 500 or status == _TOO_MANY:
            await self._again(f"status {status}{text}", patience)
            return
        else:
            self._counts.refused += body.samples
            self._tell_refusal(status, text)
        self._buffer.done()

    async def _post(self, session: aiohttp.ClientSession, body: Body) -> tuple[int, float, str]:
        """The status, how long to wait when told so, and what was said."""
        headers = {**HEADERS, "User-Agent": f"squall/{__version__}"}
        if authorization := self._receiver.authorization():
            headers["Authorization"] = authorization
        if self._receiver.tenant:
            headers["X-Scope-OrgID"] = self._receiver.tenant
        self._resolver.permit(urlsplit(self._receiver.url).hostname or "")
        async with session.post(
            self._receiver.url,
            data=body.data,
            headers=headers,
            allow_redirects=False,
            server_hostname=self._receiver.server_name or None,
        ) as response:
            answer = await response.content.read(_MAX_ANSWER)
            text = " ".join(answer.decode("utf-8", "replace").split())[:_MAX_TEXT]
            patience = patience_of(response.headers.get("Retry-After", ""), datetime.now(UTC))
            return response.status, patience, f": {text}" if text else ""

    async def _again(self, problem: str, patience: float) -> None:
        self._counts.retries += 1
        self.problem = problem
        self._tell_failure()
        self._pause = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, self._pause * 2))
        if self._hurry.is_set():
            await asyncio.sleep(FIRST_PAUSE_SECONDS)
            return
        jitter = 1.0 + random.uniform(-0.2, 0.2)  # noqa: S311 - nothing secret
        with suppress(TimeoutError):
            async with asyncio.timeout(max(patience, self._pause * jitter)):
                await self._hurry.wait()

    def _works(self) -> None:
        if self._told:
            self._told = False
            self._say("info", "RemoteWriteWorks", "the receiver takes metrics again")
        self.problem, self._pause = "", 0.0

    def _tell_failure(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._told or now < self._quiet_until:
            return
        self._told = True
        self._quiet_until, self._quiet = now + self._quiet, 2 * self._quiet
        self._say(
            "warning", "RemoteWriteFails", f"metrics do not reach the receiver and wait: {self.problem}"
        )

    def _tell_refusal(self, status: int, text: str) -> None:
        """Say it, once for each status: of a receiver that refuses some of all requests there is no end to tell."""
        if status not in self._refusals:
            self._refusals.add(status)
            self._say("warning", "RemoteWriteRefused", f"the receiver refuses samples: status {status}{text}")


def patience_of(text: str, now: datetime) -> float:
    """How many seconds a `Retry-After` asks for (RFC 9110, section 10.2.3); 0 when it makes no sense."""
    try:
        wanted = float(text) if text.isdigit() else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):
        return 0.0
    return min(max(0.0, wanted), LONGEST_PATIENCE_SECONDS)


def tls_context(receiver: Receiver) -> ssl.SSLContext | None:
    """How to speak TLS with a receiver; None when nobody is to.

    Raises:
        UsageError: A file cannot be used.
    """
    if not receiver.url.startswith("https://"):
        return None
    try:
        context = ssl.create_default_context(cafile=receiver.ca_file or None)
        if receiver.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if receiver.cert_file:
            context.load_cert_chain(receiver.cert_file, receiver.key_file or None, password=lambda: b"")
    except OSError as error:
        names = ", ".join(each for each in (receiver.ca_file, receiver.cert_file, receiver.key_file) if each)
        raise UsageError(
            f"files for TLS with the receiver of metrics cannot be used ({names}): {error}",
            "they must hold PEM, and the key must belong to the certificate and have no password",
        ) from error
    return context
