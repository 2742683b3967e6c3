"""The base URLs under watch: what fail-over is told of requests, and what the run is told of fail-over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.spec.quantities import seconds, whole
from squall_runner.recording import make_tags
from squall_runner.resilience.failover import Failover, unreachable
from squall_runner.resilience.limits import address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from squall.spec.structs import Failover as Spec
    from squall_runner.http import Origin, Request, Response
    from squall_runner.recording import Recorder


def make_failover(
    spec: Spec,
    origins: Sequence[Origin],
    *,
    recorder: Recorder,
    note: Callable[..., None],
    clock: Callable[[], float],
) -> Failover:
    """The fail-over of a runner, measured in `target_up` and told in the run's log.

    Args:
        spec: When a base URL is left out.
        origins: That of each base URL.
        recorder: Where it is measured.
        note: Writes to the run's log.
        clock: Seconds, monotonic.
    """
    hosts = [address(origin) for origin in origins]
    gauges = {host: recorder.gauge("target_up", make_tags(host=host), 1.0) for host in hosts}
    period = seconds(spec.retry_after)

    def changed(host: str, up: bool) -> None:  # noqa: FBT001 - as it is called
        gauges[host].set(float(up))
        if up:
            note("info", "TargetUp", message=f"{host} answers again, and gets its share", host=host)
        else:
            message = f"{host} cannot be reached: it is left out, and tried again every {period:g} s"
            note("warning", "TargetDown", message=message, host=host)

    return Failover(hosts, failures=whole(spec.failures), retry_after=period, clock=clock, changed=changed)


async def watched(failover: Failover, request: Request, sending: Awaitable[Response]) -> Response:
    """Wait for the response to a request, and tell fail-over what came of it."""
    ticket, failed = failover.begin(address(request.origin)), None
    try:
        response = await sending
        failed = unreachable(response)
    finally:
        failover.end(ticket, failed=failed)
    return response
