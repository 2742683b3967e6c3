"""Where connections may go, when policies say so: looked at each time one is opened, with the addresses that it would use.

What a manifest names can be read before it runs. Where load really goes shows only here: after variables, redirects and DNS, whose answer may
be another one than a minute ago. So the guard stands between the resolver and all who open connections; nothing else finds an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.spec.hosts import HostRules, address_of
from squall_runner.http.errors import FORBIDDEN, RequestError
from squall_runner.http.resolver import Resolver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall_runner.http.resolver import Address


class GuardedResolver(Resolver):
    """A resolver that keeps what it must not tell to itself.

    Args:
        inner: Knows addresses.
        policies: The patterns of each policy; every one has to be kept.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, inner: Resolver, policies: Sequence[Sequence[str]], clock: Callable[[], float]
    ) -> None:
        super().__init__(clock)
        self._inner = inner
        self._rules = tuple(HostRules.of(patterns) for patterns in policies)

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Returns the addresses that may be used, in the order in which they should be tried.

        Raises:
            RequestError: There is none (`forbidden`).
            OSError: The name has no address.
        """
        # A name that nothing can allow is not even asked for: questions to DNS reach others, too.
        if not all(rules.may_cover(host) for rules in self._rules):
            raise _forbidden(host)
        by_address = [rules for rules in self._rules if not rules.covers(host)]
        addresses = await self._inner.resolve(host, port)
        if not by_address:
            return addresses
        left = [each for each in addresses if all(_within(rules, each) for rules in by_address)]
        if not left:
            found = ", ".join(str(address[1][0]) for address in addresses[:3])
            raise _forbidden(host, f" at {found}")
        return left

    def permit_name(self, host: str) -> None:
        """Sees to a host that somebody else will resolve, as a proxy does: only what it is called can allow it.

        Raises:
            RequestError: It is not allowed.
        """
        if not all(rules.covers(host) for rules in self._rules):
            raise _forbidden(host)

    def failed(self, host: str, port: int, address: Address) -> None:
        """Notes that no connection to an address was possible."""
        self._inner.failed(host, port, address)

    async def close(self) -> None:
        """Gives up questions that are still open."""
        await self._inner.close()


def _within(rules: HostRules, address: Address) -> bool:
    found = address_of(str(address[1][0]))
    return found is not None and rules.covers_address(found)


def _forbidden(host: str, where: str = "") -> RequestError:
    return RequestError(FORBIDDEN, f"a policy does not let load go to {host}{where}")
