"""Which failed requests are sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from squall.spec.quantities import fraction, seconds
from squall_runner.http import errors
from squall_runner.resilience.backoff import backing_off
from squall_runner.resilience.budget import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from squall.spec.structs import Retry

_CONNECT: Final = frozenset(
    {
        errors.DNS,
        errors.CONNECT_REFUSED,
        errors.CONNECT_TIMEOUT,
        errors.CONNECT_FAILED,
        errors.TLS,
        errors.PROXY,
    }
)
_CLASSES: Final = {
    "connect": _CONNECT,
    "reset": frozenset({errors.RESET, errors.CLOSED}),
    "timeout": frozenset({errors.TIMEOUT}),
    "protocol": frozenset({errors.PROTOCOL}),
}
_STATUSES: Final = frozenset({429, 502, 503, 504})
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""RFC 9110, section 9.2.2."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A step's `retry`, ready for use.

    Attributes:
        most: Tries after the first one.
        errors: Classes of failures without a response after which to try again.
        statuses: Statuses after which to try again.
        methods: Methods that may be sent twice.
        pause: Draws the pause before the n-th retry, in seconds.
        share: What a request puts into the budget of its host.
        longest: A `Retry-After` of more seconds ends the tries: nobody would wait for that long.
    """

    most: int
    errors: frozenset[str]
    statuses: frozenset[int]
    methods: frozenset[str]
    pause: Callable[[int, Random], float]
    share: int
    longest: float

    @classmethod
    def of(cls, retry: Retry, statuses: frozenset[int] | None, longest: float) -> RetryPolicy:
        """What the manifest says.

        Args:
            retry: As declared.
            statuses: Its `statuses`, read; None for the usual ones.
            longest: See the attribute.
        """
        return cls(
            most=retry.max_retries,
            errors=frozenset().union(*(_CLASSES[name] for name in retry.errors)),
            statuses=_STATUSES if statuses is None else statuses,
            methods=_IDEMPOTENT if retry.methods is None else frozenset(retry.methods),
            pause=backing_off(seconds(retry.initial), retry.backoff),
            share=round(fraction(retry.budget) * TOKEN),
            longest=longest,
        )

    def cause(self, method: str, status: int, error: str, *, moved: bool) -> str:
        """Why to try again: the class of the failure; empty when that is of no use or might do harm.

        Args:
            method: Of the request that was sent first, before any redirect.
            status: What was answered, 0 for nothing.
            error: The class of a failure without a response, empty with one.
            moved: Whether a redirect was followed, so that something was sent whatever failed then.
        """
        if error:
            unsent = error in _CONNECT and not moved
            return error if error in self.errors and (unsent or method in self.methods) else ""
        if status in self.statuses and method in self.methods:
            return f"http_{status // 100}xx"
        return ""
