"""What can be known before the load begins: whether the target is there, and whether this machine allows the load.

A test that starts against a target that is not there produces a report full of noise. One that runs out of file
descriptors at half of its load measures this machine. Both are told at once, with what to do.
"""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING

from squall_runner.http import HttpClient, build
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from squall_runner.http import Network, Origin, Request

_CONNECT_SECONDS = 5.0
_SPARE_FILES = 64
"""Descriptors that the process needs beside those of its connections."""


def raise_file_limit(needed: int, note: Callable[..., None]) -> None:
    """Raise the soft limit of open files to what the plan needs, as far as the hard limit allows."""
    wanted = needed + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        note(
            "warning",
            "too_few_files",
            message=f"the load may need {wanted} open files, and this process is allowed {allowed}",
            hint="raise `ulimit -Hn`, use more runners, or fewer VUs",
        )


async def check_reachable(origins: Iterable[Origin]) -> None:
    """Open and close a TCP connection to each origin.

    Raises:
        LoadError: One of them cannot be reached.
    """
    for origin in origins:
        where = f"{origin.host}:{origin.port}"
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(origin.host, origin.port)
        except TimeoutError as error:
            reason = f"no answer within {_CONNECT_SECONDS:g} s"
            raise _unreachable(where, reason) from error
        except OSError as error:
            raise _unreachable(where, error.strerror or str(error)) from error
        writer.close()


def _unreachable(where: str, reason: str) -> LoadError:
    return LoadError(
        "TargetUnreachable",
        f"the target {where} cannot be reached: {reason}",
        "is it running, is the base URL right, and does the network allow it?",
    )


class Connectivity:
    """The request that must succeed before, during and after the load (`safety.connectivity`).

    Args:
        network: Sends it.
        url: Absolute.
        timeout: Seconds for it.
        interval: Seconds from one request to the next.
        probe: Is told each outcome, see `Hooks.probe`.
        mask: Hides secrets in a text.
    """

    def __init__(
        self,
        network: Network,
        url: str,
        *,
        timeout: float,
        interval: float,
        probe: Callable[[bool, str], None],
        mask: Callable[[str], str],
    ) -> None:
        self._client = HttpClient(network, cookies=False)
        try:
            self._request: Request = build("GET", url)
        except ValueError as error:
            raise LoadError("RequestInvalid", f"safety.connectivity.url: {error}") from error
        self._timeout = timeout
        self._interval = interval
        self._probe = probe
        self._mask = mask

    async def check(self) -> str:
        """What is wrong; empty when nothing is."""
        response = await self._client.send(self._request, timeout=self._timeout)
        self._client.close()  # a fresh connection each time: that is what is asked
        if response.ok:
            return ""
        what = response.error_message or f"answered with {response.status} {response.reason}"
        return self._mask(f"{self._request.method} {self._request.url}: {what}")

    async def require(self) -> None:
        """Check before the load.

        Raises:
            LoadError: The target is not well.
        """
        wrong = await self.check()
        if wrong:
            message = f"the connectivity check failed: {wrong}"
            raise LoadError(
                "TargetUnreachable", message, "is the target running, and is safety.connectivity.url right?"
            )

    async def watch(self) -> None:
        """Check again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self.tell()

    async def tell(self) -> None:
        """Check once and tell the outcome."""
        wrong = await self.check()
        self._probe(not wrong, wrong)
