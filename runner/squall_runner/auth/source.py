"""One token and its renewal, in the background: no request of the load ever waits for a token.

A token is renewed ahead of its end, or when the target has refused it. When that fails, the old one is shown until there
is a new one; the target's answers then say what becomes of it. A token server in trouble, or a target that refuses every
token, must not be asked without pause by a thousand VUs: one asks, and ever less often.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall_runner.auth.grant import TokenError, lifetime_left, parse_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from squall_runner.auth.grant import Grant, Token
    from squall_runner.http import Request, Response

FIRST_PAUSE: Final = 1.0
"""Seconds between two requests for a token, at least."""
LONGEST_PAUSE: Final = 60.0
"""Seconds after which a token is asked for again at the latest, when it could not be renewed."""
_LONGEST_WAIT: Final = 3600.0
"""Timers of the event loop end somewhere; the wait is begun again."""


class TokenSource:
    """A token that is kept fresh.

    Args:
        grant: What is asked for.
        send: Sends a request, and returns what came of it.
        clock: Seconds, monotonic.
        on_answer: Is told of every request for a token: the class of its failure, empty when there was none.
        on_trouble: Is told, once, that the token could not be renewed.
        mask: Hides secrets in a text.

    Attributes:
        line: The header line that shows the token; the same object until there is a new one. Empty before `fetch`.
        value: The token.
        previous: The one before, which requests in flight may still show.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        send: Callable[[Request], Awaitable[Response]],
        clock: Callable[[], float],
        on_answer: Callable[[str], None],
        on_trouble: Callable[[str], None],
        mask: Callable[[str], str],
    ) -> None:
        self._grant = grant
        self._send = send
        self._clock = clock
        self._on_answer = on_answer
        self._on_trouble = on_trouble
        self._mask = mask
        self._told = False
        self._due = float("inf")
        self._refused = asyncio.Event()
        self.line = b""
        self.value = ""
        self.previous = ""

    async def fetch(self) -> None:
        """Ask for a token.

        Raises:
            TokenError: There is none. The old one, if any, stays.
        """
        asked = self._clock()
        response = await self._send(self._grant.request())
        try:
            token = parse_token(response)
        except TokenError as refusal:
            self._on_answer(refusal.error)
            raise TokenError(refusal.error, self._mask(refusal.message)) from None
        self._on_answer("")
        self._take(token, asked)

    def _take(self, token: Token, asked: float) -> None:
        self._refused.clear()
        self._due = float("inf")
        if token.lifetime is not None:
            self._due = asked + lifetime_left(token.lifetime, self._grant.refresh_before)
        if token.value != self.value:
            self.previous, self.value = self.value, token.value
            self.line = token.line

    def answered(self, response: Response) -> None:
        """Look at a 401: if this token was shown and is still the current one, it is to be renewed."""
        if self.line and self.line in response.request.headers:
            self._refused.set()

    async def keep(self) -> None:
        """Renew the token whenever it is time, until cancelled."""
        in_vain = 0
        while True:
            refused = await self._until_due()
            renewed = await self.renew()
            in_vain = in_vain + 1 if refused or not renewed else 0
            await asyncio.sleep(pause_after(in_vain))

    @property
    def is_due(self) -> bool:
        """Whether the token should be renewed now."""
        return self._refused.is_set() or self._clock() >= self._due

    async def renew(self) -> bool:
        """Ask for a new token; whether there is one."""
        try:
            await self.fetch()
        except TokenError as refusal:
            if not self._told:
                self._told = True
                self._on_trouble(refusal.message)
            return False
        return True

    async def _until_due(self) -> bool:
        """Wait until the token has to be renewed; whether that is because it was refused."""
        while not self.is_due:
            try:
                async with asyncio.timeout(min(self._due - self._clock(), _LONGEST_WAIT)):
                    await self._refused.wait()
            except TimeoutError:
                continue
        return self._refused.is_set()


def pause_after(in_vain: int) -> float:
    """Seconds to wait after so many renewals, one after the other, that failed or followed a refusal."""
    return min(FIRST_PAUSE * 2.0 ** min(max(in_vain - 1, 0), 10), LONGEST_PAUSE)
