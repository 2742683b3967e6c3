"""Where connections to one origin wait for their next exchange.

A connection goes back by itself as soon as its response is complete, so that whoever waits for the response has nothing
to do for it, and nothing is lost when nobody waits any more. A closed pool closes what comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.http.exchange import Channel


class Pool:
    """The connections to one origin of one client.

    Args:
        cookies: Whether somebody keeps the cookies that come over them.

    Attributes:
        idle: Those that wait. The one that served last serves next: the others may rest.
        put: Takes one back. A function of its own, as it is called for every request.
    """

    __slots__ = ("cookies", "idle", "put")

    def __init__(self, *, cookies: bool) -> None:
        self.cookies = cookies
        self.idle: list[Channel] = []
        self.put: Callable[[Channel], None] = self.idle.append

    def close_idle(self) -> None:
        """Closes those that wait."""
        while self.idle:
            self.idle.pop().close()

    def close(self) -> None:
        """Closes those that wait now, and those in use when their response has come."""
        self.put = _close
        self.close_idle()


def _close(connection: Channel) -> None:
    connection.close()
