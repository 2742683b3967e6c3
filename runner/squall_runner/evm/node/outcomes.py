"""What an HTTP response says about a JSON-RPC call: its result, or the one error that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall_runner.evm.node.failures import Kind, RpcError, Wordings
from squall_runner.evm.node.jsonrpc import ErrorObject, MalformedError, read_answer
from squall_runner.http import BodyError, errors
from squall_runner.resilience.backoff import asked_pause

if TYPE_CHECKING:
    from msgspec import Raw

    from squall_runner.http import Response

_OK: Final = 200
_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_LOST: Final = frozenset({errors.RESET, errors.CLOSED})
_KINDS: Final = {
    errors.FORBIDDEN: Kind.FORBIDDEN,
    errors.TIMEOUT: Kind.TIMEOUT,
    errors.CONNECT_TIMEOUT: Kind.UNREACHABLE,
    errors.PROTOCOL: Kind.MALFORMED,
    errors.DECODE: Kind.MALFORMED,
    errors.BODY_TOO_LARGE: Kind.MALFORMED,
}


def http_failure(response: Response, method: str, endpoint: str) -> RpcError | None:
    """The error of a response that holds no answer; None when its body has to be read.

    Args:
        response: What came.
        method: What was called.
        endpoint: Who was asked, for the message.
    """
    if response.error:
        kind = _KINDS.get(response.error, Kind.UNREACHABLE)
        return RpcError(
            kind,
            response.error_message,
            method=method,
            endpoint=endpoint,
            unknown_fate=response.bytes_sent > 0,
            stale=response.reused and not response.bytes_received and response.error in _LOST,
        )
    if response.status == _OK:
        return None
    wait = asked_pause(response.header("retry-after"))
    message = f"HTTP status {response.status} {response.reason}".rstrip()
    if response.status == _TOO_MANY:
        return RpcError(Kind.RATE_LIMITED, message, method=method, endpoint=endpoint, wait=wait)
    # A gateway may have passed the call on before it gave up; who is unavailable has not.
    unknown = response.status >= 500 and response.status != _UNAVAILABLE
    return RpcError(
        Kind.SERVER_ERROR, message, method=method, endpoint=endpoint, unknown_fate=unknown, wait=wait
    )


def node_failure(error: ErrorObject, wordings: Wordings, method: str, endpoint: str) -> RpcError:
    """What a node has answered instead of a result."""
    kind = wordings.kind(error.code, error.message)
    return RpcError(
        kind,
        error.message,
        method=method,
        endpoint=endpoint,
        code=error.code,
        data=error.data,
        unknown_fate=kind in {Kind.TIMEOUT, Kind.SERVER_ERROR},
    )


def result_of(  # noqa: PLR0917 - once per call
    body: bytes | Raw, number: int, kind: Any, wordings: Wordings, method: str, endpoint: str
) -> Any:
    """The result of a call.

    Args:
        body: The answer.
        number: The id of the call.
        kind: The type of the result.
        wordings: What nodes mean.
        method: What was called.
        endpoint: Who was asked.

    Raises:
        RpcError: It is an error, or no answer.
    """
    try:
        answer = read_answer(body, number, kind)
    except MalformedError as error:
        raise RpcError(
            Kind.MALFORMED, str(error), method=method, endpoint=endpoint, unknown_fate=True
        ) from error
    if answer.error is not None:
        raise node_failure(answer.error, wordings, method, endpoint)
    return answer.result


def body_of(response: Response, method: str, endpoint: str) -> bytes:
    """The bytes of an answer.

    Raises:
        RpcError: There is none: no connection, another status, a body that cannot be unpacked.
    """
    failure = http_failure(response, method, endpoint)
    if failure is None:
        try:
            return response.body
        except BodyError as error:
            raise RpcError(
                Kind.MALFORMED, error.message, method=method, endpoint=endpoint, unknown_fate=True
            ) from error
    if failure.kind is Kind.SERVER_ERROR and _may_answer(response):
        return response.body
    raise failure


def _may_answer(response: Response) -> bool:
    """Whether a server has put a JSON-RPC error into a response with a status of its own, as some do."""
    try:
        return response.body.lstrip()[:1] in {b"{", b"["} and b'"jsonrpc"' in response.body
    except BodyError:
        return False
