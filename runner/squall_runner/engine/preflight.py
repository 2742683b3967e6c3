"""Whether the target is there, asked before the load and, if the manifest wants it, during it.

A test that starts against a target that is not there produces a report full of noise. So this is told at once, with what to do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from squall.expr import compile_template
from squall.spec.quantities import seconds
from squall_runner.engine.manifest import base_scope
from squall_runner.http import HttpClient, build
from squall_runner.http.errors import FORBIDDEN, RequestError
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from squall_runner.engine.manifest import Manifest
    from squall_runner.http import Network, Origin, Request

_CONNECT_SECONDS = 5.0
_LAST_SECONDS = 1.0


async def check_permitted(network: Network, origins: Iterable[Origin]) -> None:
    """See whether policies let load go to each origin.

    Raises:
        LoadError: One of them is not allowed.
    """
    for origin in origins:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await network.permit(origin)
        except RequestError as error:
            raise _forbidden(error.message) from error
        except (OSError, UnicodeError):
            continue  # a name without an address leads nowhere; whoever connects will tell


def _forbidden(reason: str) -> LoadError:
    return LoadError(
        "PolicyViolated", reason, "look at `allowedHosts` of the LoadTestPolicies, or change the target"
    )


async def check_reachable(network: Network, origins: Iterable[Origin]) -> None:
    """Open and close a TCP connection to each origin, or the way to it through the proxy that serves it.

    Raises:
        LoadError: One of them cannot be reached.
    """
    for origin in origins:
        try:
            await network.reach(origin, _CONNECT_SECONDS)
        except RequestError as error:
            raise _unreachable(f"{origin.host}:{origin.port}", error.message) from error


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
        self._client = HttpClient(network, cookies=False, private=True)
        try:
            self._request: Request = build("GET", url)
        except ValueError as error:
            raise LoadError("RequestInvalid", f"safety.connectivity.url: {error}") from error
        self._timeout = timeout
        self._interval = interval
        self._probe = probe
        self._mask = mask
        self._forbidden = False

    async def check(self) -> str:
        """What is wrong; empty when nothing is."""
        response = await self._client.send(self._request, timeout=self._timeout)
        self._client.close()  # a fresh connection each time: that is what is asked
        self._forbidden = response.error == FORBIDDEN
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
        if wrong and self._forbidden:
            raise _forbidden(f"safety.connectivity: {wrong}")
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

    async def tell_soon(self) -> None:
        """The same for somebody who cannot wait long: after a second there is no outcome."""
        probe = asyncio.create_task(self.tell())
        await asyncio.wait([probe], timeout=_LAST_SECONDS)
        probe.cancel()


def make_connectivity(
    manifest: Manifest, network: Network, *, probe: Callable[[bool, str], None], mask: Callable[[str], str]
) -> Connectivity | None:
    """The manifest's `safety.connectivity`; None without one. For `probe` and `mask` see `Connectivity`.

    Raises:
        LoadError: Its URL leads nowhere.
    """
    spec = manifest.spec.safety.connectivity
    if spec is None:
        return None
    scope = base_scope(manifest.base, manifest.secrets).with_secrets()
    url = compile_template(spec.url, scope).render(manifest.base)
    if not url.startswith(("http://", "https://")):
        if not manifest.targets:
            raise LoadError("NoBaseUrl", "safety.connectivity.url is only a path", "set spec.http.baseUrl")
        target = manifest.targets[0]
        url = f"{target.origin.key}{target.prefix}{url if url.startswith('/') else '/' + url}"
    return Connectivity(
        network, url, timeout=seconds(spec.timeout), interval=seconds(spec.interval), probe=probe, mask=mask
    )
