"""The webhook as the API server calls it: HTTPS, one path, and an answer in time or none at all.

POST /review   an AdmissionReview (admission.k8s.io/v1); answered with 200 and the same kind

Whatever cannot be judged - it does not come through in time, the API server does not answer, something here is broken - is answered with an error
of HTTP. What becomes of it then the `failurePolicy` of the configuration says, and nothing here. Nobody but the API server should call this,
but anybody in the cluster can, so what it takes is bounded: bytes of one request, requests at a time.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from squall.kube.api import KubeError

if TYPE_CHECKING:
    import ssl

    from squall_operator.admission.desk import Desk
    from squall_operator.telemetry import Telemetry

PATH: Final = "/review"
SECONDS: Final = 8.0
"""Until an answer; the configuration lets the API server wait for 10 s, and its own word of a timeout says less."""
MOST_BYTES: Final = 6 * 1024 * 1024
"""Of a request. An object has at most 1.5 MiB in etcd; a review holds two of them, and what JSON makes longer."""
AT_ONCE: Final = 16
"""Requests that are read or judged at the same time."""


async def serve_reviews(
    desk: Desk, telemetry: Telemetry, address: tuple[str, int], context: ssl.SSLContext
) -> web.AppRunner:
    """Serve the webhook; to be cleaned up by the caller.

    Args:
        desk: Judges.
        telemetry: Counts, and has the log.
        address: To listen on.
        context: With the certificate.

    Raises:
        OSError: The address cannot be listened on.
    """
    free = asyncio.Semaphore(AT_ONCE)

    async def handle(request: web.Request) -> web.Response:
        if free.locked():
            telemetry.reviewed("error", 0.0)
            return _unanswered(HTTPStatus.SERVICE_UNAVAILABLE, "too many reviews at once")
        began = time.perf_counter()
        async with free:
            response, outcome = await _reviewed(request, desk, telemetry)
        telemetry.reviewed(outcome, time.perf_counter() - began)
        return response

    app = web.Application(client_max_size=MOST_BYTES)
    app.add_routes([web.post(PATH, handle)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, *address, ssl_context=context).start()
    return runner


async def _reviewed(request: web.Request, desk: Desk, telemetry: Telemetry) -> tuple[web.Response, str]:
    try:
        async with asyncio.timeout(SECONDS):
            answer = await desk.answer(_decoded(await request.read()))
    except web.HTTPRequestEntityTooLarge as error:
        return _unanswered(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.text or error.reason), "error"
    except ValueError as error:
        return _unanswered(HTTPStatus.BAD_REQUEST, str(error)), "error"
    except TimeoutError:
        return _unanswered(HTTPStatus.SERVICE_UNAVAILABLE, f"not judged within {SECONDS:g} s"), "error"
    except KubeError as error:
        text = f"the operator could not ask what it has to know: {error.message}"
        return _unanswered(HTTPStatus.SERVICE_UNAVAILABLE, text), "error"
    except Exception as error:  # noqa: BLE001 - a defect here must not be taken for a verdict
        telemetry.review_failed(error)
        return _unanswered(HTTPStatus.INTERNAL_SERVER_ERROR, f"a defect: {type(error).__name__}"), "error"
    return _json(answer), "allowed" if answer["response"]["allowed"] else "refused"


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"this is no JSON: {error}") from error


def _json(answer: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _unanswered(status: HTTPStatus, text: str) -> web.Response:
    return web.Response(status=status.value, text=text)
