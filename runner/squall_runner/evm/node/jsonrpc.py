"""JSON-RPC 2.0 as bytes: calls as they are sent, and answers as they came; no I/O.

A call costs nothing but a few joined bytes, and an answer is read straight into the type that is wanted, without what nobody
reads: the receipts of a block are megabytes otherwise. Whatever is no answer to what was asked is refused.
Format: https://www.jsonrpc.org/specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from squall.nesting import bounded
from squall_runner.http import Request

if TYPE_CHECKING:
    from squall_runner.http import Origin

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode
_INVALID_REQUEST = -32600
_BATCH_LIMIT = 65_536
"""Larger requests are not copied together with the head into one piece; as `squall_runner.http.request` has it."""


class MalformedError(ValueError):
    """What came is no answer to what was asked; the message says why, for people."""


class Call(msgspec.Struct, frozen=True):
    """What is called, and how.

    Attributes:
        method: What is called.
        params: Its parameters, as JSON values.
        idempotent: Whether reaching the chain twice has the same effect as once.
        into: The type that the result has to have.
        joined: Whether it is sent in one batch with others of the same moment.
        urgent: Whether it goes before others that wait for their turn in an endpoint's rate.
    """

    method: str
    params: Sequence[Any] = ()
    idempotent: bool = True
    into: Any = Any
    joined: bool = False
    urgent: bool = False


class ErrorObject(msgspec.Struct, gc=False):
    """The `error` of an answer."""

    code: int = 0
    message: str = ""
    data: Any = None


class Answer(msgspec.Struct, Generic[_T], gc=False):
    """The answer to one call; other members are passed over."""

    id: int | str | None = None
    result: _T | msgspec.UnsetType = msgspec.UNSET
    error: ErrorObject | None = None


class RepeatableRequest(Request, eq=False, gc=False):
    """A POST that the HTTP client may repeat when the connection was closed before anything came, as it would a GET."""

    @property
    def idempotent(self) -> bool:
        """That of the call."""
        return True


@lru_cache(maxsize=512)
def _start(method: str) -> tuple[bytes, bytes]:
    return b'{"jsonrpc":"2.0","id":', b',"method":' + _encode(method) + b',"params":'


def call_body(number: int, method: str, params: Sequence[Any]) -> bytes:
    """One call.

    Args:
        number: Its id.
        method: What is called.
        params: Its parameters; JSON values, or dicts and lists of them.

    Raises:
        TypeError: A parameter has no form in JSON.
    """
    first, second = _start(method)
    return b"%b%d%b%b}" % (first, number, second, _encode(params))


def batch_body(calls: Sequence[bytes]) -> bytes:
    """Several calls as one batch."""
    return b"[" + b",".join(calls) + b"]"


@lru_cache(maxsize=64)
def _decoder(kind: Any) -> Callable[[bytes | msgspec.Raw], Answer[Any]]:
    return bounded(msgspec.json.Decoder(Answer[kind]).decode)


_decode_raw = bounded(msgspec.json.Decoder(list[msgspec.Raw]).decode)


class _Labelled(msgspec.Struct, gc=False):
    id: int | str | None = None


_decode_label = bounded(msgspec.json.Decoder(_Labelled).decode)


def read_answer(body: bytes | msgspec.Raw, number: int, kind: Any) -> Answer[Any]:
    """The answer to a call.

    Args:
        body: What came.
        number: The id of the call.
        kind: The type that its result has to have.

    Raises:
        MalformedError: It is no answer to this call.
    """
    try:
        answer: Answer[Any] = _decoder(kind)(body)
    except msgspec.ValidationError as error:
        raise MalformedError(f"the answer is not what this method returns: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f"the answer is not JSON: {error}") from error
    if answer.error is None:
        if answer.id != number:
            raise MalformedError("the answer has the id of another call")
        if answer.result is msgspec.UNSET:
            raise MalformedError("the answer has neither a result nor an error")
    elif answer.id != number and answer.id is not None:
        raise MalformedError("the answer has the id of another call")
    return answer


def read_batch(body: bytes) -> dict[int | str | None, msgspec.Raw] | ErrorObject:
    """The answers of a batch of several by id, in whatever order they came; or the one error with which it was refused.

    geth puts that into a list, under the id of the first call.

    Raises:
        MalformedError: It is neither.
    """
    try:
        if body.lstrip()[:1] == b"{":
            whole: Answer[Any] = _decoder(Any)(body)
            if whole.error is not None:
                return whole.error
            raise MalformedError("the answer to a batch is no list")
        answers = _decode_raw(body)
        if len(answers) == 1:
            error: ErrorObject | None = _decoder(Any)(answers[0]).error
            if error is not None and error.code == _INVALID_REQUEST:
                return error
        return {_decode_label(each).id: each for each in answers}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f"the answer is not JSON: {error}") from error


class Envelope:
    """The HTTP request around calls to one endpoint, all but the body rendered once.

    Args:
        origin: Of its URL.
        target: Path and query, encoded.
        headers: Rendered header lines.
    """

    __slots__ = ("_head", "_headers", "_origin", "_target")

    def __init__(self, origin: Origin, target: bytes, headers: bytes) -> None:
        self._origin = origin
        self._target = target
        self._headers = headers
        self._head = b"POST %b HTTP/1.1\r\n%bContent-Length: " % (target, headers)

    def request(self, body: bytes, *, repeatable: bool) -> Request:
        """The request with this body; `repeatable` says whether the HTTP client may send it twice."""
        kind = RepeatableRequest if repeatable else Request
        size = len(body)
        if size > _BATCH_LIMIT:
            return kind.render(self._origin, "POST", self._target, self._headers, body)
        wire = b"%b%d\r\n\r\n%b" % (self._head, size, body)
        return kind(self._origin, "POST", self._target, self._headers, body, wire, len(wire) - size - 2)
