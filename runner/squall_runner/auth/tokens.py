"""All tokens of a runner process: one for each distinct configuration, however many steps and VUs show it.

They are fetched before the runner says that it is ready, so that a wrong secret ends a run before it has begun. Their
requests go the same way as all others (proxy, TLS) but over a connection of their own, and are no part of the load.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

from squall.spec.secrets import MASK, Secrets, mask_beginning
from squall_runner.auth.grant import TokenError
from squall_runner.auth.source import TokenSource
from squall_runner.http import HttpClient
from squall_runner.load import LoadError
from squall_runner.recording import make_tags

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.auth.grant import Grant
    from squall_runner.http import Network, Request, Response
    from squall_runner.recording import Recorder

_HINT = "check tokenUrl, clientId, clientSecret and credentials of `oauth2`"
_SHORTEST_SECRET = 3
_LONGEST_SECONDS = 30.0
"""For one request: a token server that hangs must be named before the hub gives up waiting for the runner."""


class Tokens:
    """The tokens of a process.

    Args:
        network: Carries the requests for them.
        timeout: Seconds for one such request, 30 at most.
        clock: Seconds, monotonic.
        recorder: Counts them, in `auth_tokens`.
        note: Writes to the run's log, see `Hooks.note`.
        mask: Hides the manifest's secrets in a text.
    """

    def __init__(
        self,
        network: Network,
        *,
        timeout: float,
        clock: Callable[[], float],
        recorder: Recorder,
        note: Callable[..., None],
        mask: Callable[[str], str],
    ) -> None:
        self._network = network
        self._timeout = min(timeout, _LONGEST_SECONDS)
        self._clock = clock
        self._recorder = recorder
        self._note = note
        self._mask_secrets = mask
        self._sources: dict[Grant, TokenSource] = {}
        self._own = Secrets()
        self._keepers: list[asyncio.Task[None]] = []

    def source(self, grant: Grant) -> TokenSource:
        """The token of a configuration; it can be shown once `fetch` has returned."""
        found = self._sources.get(grant)
        if found is None:
            found = self._sources[grant] = TokenSource(
                grant,
                send=self._send,
                clock=self._clock,
                on_answer=self._count,
                on_trouble=self._tell,
                mask=self.mask,
            )
            secrets = [secret for known in self._sources for secret in known.secrets]
            self._own = Secrets({str(number): secret for number, secret in enumerate(secrets)})
        return found

    def mask(self, text: str) -> str:
        """Hide tokens and the secrets behind them, beside the manifest's own secrets."""
        text = self._own.mask(self._mask_secrets(text))
        for source in self._sources.values():
            for value in (source.value, source.previous):
                if len(value) >= _SHORTEST_SECRET:
                    text = text.replace(value, MASK).replace(quote(value, safe=""), MASK)
                    text = mask_beginning(text, value)
        return text

    async def fetch(self) -> None:
        """Get every token for the first time.

        Raises:
            LoadError: One of them is refused, or its server cannot be reached.
        """
        fetches = (source.fetch() for source in self._sources.values())
        for failure in await asyncio.gather(*fetches, return_exceptions=True):
            if isinstance(failure, TokenError):
                raise LoadError("AuthFailed", f"no token: {failure.message}", _HINT)
            if failure is not None:
                raise failure

    def start(self) -> None:
        """Keep the tokens fresh from now on."""
        self._keepers = [asyncio.create_task(source.keep()) for source in self._sources.values()]

    def halt(self) -> None:
        """Ask for no further token, and give up a request for one."""
        for keeper in self._keepers:
            keeper.cancel()

    async def freshen(self) -> None:
        """Renew those tokens that it is time for: once, for what is sent after `halt`."""
        await asyncio.gather(*(source.renew() for source in self._sources.values() if source.is_due))

    async def close(self) -> None:
        """Let go of everything."""
        self.halt()
        if self._keepers:
            await asyncio.wait(self._keepers)
            self._keepers.clear()

    def answered(self, response: Response) -> None:
        """Look at a response whose status is 401: perhaps a token is no longer good."""
        for source in self._sources.values():
            source.answered(response)

    async def _send(self, request: Request) -> Response:
        # Tokens are asked for minutes apart: a kept connection would be stale more often than not.
        client = HttpClient(self._network, cookies=False, private=True)
        try:
            return await client.send(request, timeout=self._timeout, keep_body=True, max_redirects=0)
        finally:
            client.close()

    def _count(self, error: str) -> None:
        self._recorder.counter("auth_tokens", make_tags(error=error)).value += 1

    def _tell(self, message: str) -> None:
        text = f"a token could not be renewed, and the old one is still shown: {message}"
        self._note("warning", "TokenNotRenewed", message=text, hint=_HINT)
