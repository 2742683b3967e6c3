"""A response as checks and other expressions see it: the body is JSON, and nothing is parsed that nobody reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall_runner.http import Response


class View:
    """What an expression may read of a response, see `squall.expr.ResponseView`."""

    __slots__ = ("_response", "duration", "error", "size", "status")

    def __init__(self, response: Response) -> None:
        self._response = response
        self.status = response.status
        self.duration = response.duration
        self.error = response.error
        self.size = response.size

    def json(self) -> Any:
        """The body parsed as JSON; expressions call it `body`."""
        return self._response.json()

    @property
    def text(self) -> str:
        """The body as text."""
        return self._response.text

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields, in any case."""
        return self._response.headers

    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookies that the response sets."""
        return self._response.cookies


NEEDS_BODY = frozenset({"body", "text"})
"""Names whose use means that the body has to be kept."""
