"""The client credentials grant as a pure matter of bytes: the request for a token, and what its answer means.

RFC 6749: section 4.4 (the grant), 2.3.1 (how a client shows who it is), 5.1 (the token), 5.2 (the refusal). Servers
answer in many ways that are not in there, and each of them has to end as a sentence that names the mistake, but never
the secret.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote_plus, urlencode

import msgspec

from squall.spec.secrets import shortened
from squall_runner.http import BodyError, Template, header_line, render_headers

if TYPE_CHECKING:
    from squall_runner.http import Origin, Request, Response

_FORM: Final = "application/x-www-form-urlencoded"
_SHOWN: Final = 200
"""Characters of a server's own words that are repeated."""


class TokenError(Exception):
    """There is no token.

    Args:
        error: The class of the failure: that of the request, `http_4xx`, `http_5xx`, or `decode` for an answer that
            is no token.
        message: One sentence for the user; may hold what the server said.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class Token:
    """A token.

    Attributes:
        value: What stands behind `Bearer`.
        lifetime: Seconds that it is good for, from when it was asked for; None when the server does not say.
    """

    value: str
    lifetime: float | None

    @property
    def line(self) -> bytes:
        """The header line that shows it (RFC 6750, section 2.1)."""
        return header_line("Authorization", f"Bearer {self.value}")


@dataclass(frozen=True, slots=True)
class Grant:
    """Everything that makes one token differ from another.

    Attributes:
        origin: Where it is asked for.
        target: Path and query of the token endpoint, encoded.
        client_id: Who asks.
        client_secret: The proof.
        scopes: What is asked for; empty for what the server gives by default.
        audience: Whom the token is meant for; empty when the server does not want to know.
        credentials: Whether id and secret go into the `Authorization` header or into the form.
        refresh_before: Seconds before its end at which the token is renewed.
    """

    origin: Origin
    target: bytes
    client_id: str
    client_secret: str
    scopes: tuple[str, ...] = ()
    audience: str = ""
    credentials: Literal["header", "body"] = "header"
    refresh_before: float = 30.0

    def request(self) -> Request:
        """The request for a token."""
        fields = {"grant_type": "client_credentials"}
        if self.scopes:
            fields["scope"] = " ".join(self.scopes)
        if self.audience:
            fields["audience"] = self.audience
        headers = [("Accept", "application/json"), ("Content-Type", _FORM)]
        if self.credentials == "body":
            fields |= {"client_id": self.client_id, "client_secret": self.client_secret}
        else:
            # Both are form-encoded first (section 2.3.1), or a colon within the id would end it.
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            headers.append(("Authorization", f"Basic {b64encode(pair.encode()).decode('ascii')}"))
        template = Template(self.origin, "POST", render_headers(self.origin, headers))
        return template.request(self.target, urlencode(fields).encode("ascii"))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: the secret, and the forms of it that are sent."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        return (self.client_secret, b64encode(pair.encode()).decode("ascii"))


def parse_token(response: Response) -> Token:
    """The token in an answer.

    Raises:
        TokenError: There is none; the message says why.
    """
    where = f"{response.request.method} {response.request.url}"
    if response.error:
        raise TokenError(response.error, f"{where}: {response.error_message}")
    if response.status != 200:
        kind = "http_5xx" if response.status >= 500 else "http_4xx"
        answer = f"{where} was answered with {response.status} {response.reason}".rstrip()
        raise TokenError(kind, answer + _reasons(response))
    try:
        fields = response.json()
    except BodyError as error:
        raise TokenError(
            error.error, f"{where} was answered with no token: {_words(error.message)}"
        ) from error
    try:
        return _token(fields)
    except ValueError as error:
        raise TokenError("decode", f"{where} was answered with no token that can be used: {error}") from error


def lifetime_left(lifetime: float, refresh_before: float) -> float:
    """Seconds after which a token is renewed: so long before its end, but not before half of its life."""
    return max(lifetime - refresh_before, lifetime / 2)


def _reasons(response: Response) -> str:
    """What the server says of its refusal (section 5.2); empty when it says nothing that can be understood."""
    try:
        fields = response.json()
    except BodyError:
        return ""
    if not isinstance(fields, dict) or not isinstance(error := fields.get("error"), str):
        return ""
    told = fields.get("error_description")
    return f": {_words(error)}" + (f" ({_words(told)})" if isinstance(told, str) and told else "")


def _words(text: str) -> str:
    """A server's words on one line of bounded length, with nothing that could change a terminal."""
    shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return shortened(shown, _SHOWN)


def _token(fields: Any) -> Token:
    """The token that section 5.1 describes.

    Raises:
        ValueError: It is none of these; the message says why, and holds no token.
    """
    if not isinstance(fields, dict):
        raise ValueError("the answer is no JSON object")  # noqa: TRY004 - the server's value is wrong, not ours
    if isinstance(error := fields.get("error"), str):
        text = f"the answer is the error {_words(error)}, in spite of its status"
        raise ValueError(text)  # noqa: TRY004 - as above
    value = fields.get("access_token")
    if not isinstance(value, str) or not value:
        raise ValueError("it has no access_token")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("its access_token holds characters that no token may have")
    kind = fields.get("token_type")
    if not isinstance(kind, str):
        raise ValueError("it has no token_type")  # noqa: TRY004 - as above
    if kind.lower() != "bearer":
        raise ValueError(f"its token_type is {_words(kind)!r}, and only Bearer tokens can be sent")
    return Token(value, _lifetime(fields.get("expires_in")))


def _lifetime(given: Any) -> float | None:
    """`expires_in`: seconds, as a number; some servers write it as a text."""
    if given is None:
        return None
    try:
        seconds = msgspec.convert(given, float, strict=isinstance(given, bool))
    except msgspec.ValidationError as error:
        raise ValueError("its expires_in is no number of seconds") from error
    if not 0 < seconds < float("inf"):
        raise ValueError("its expires_in says that it has expired already")
    return seconds
