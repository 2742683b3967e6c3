"""kopf, used for what it does best: watching. Everything that it shows goes into the cache, and a key into the queue.

None of kopf's own states, finalizers, retries or Events are used: they would keep a copy of each spec in annotations, and a second opinion on
what is to be done beside `decide`.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any, Final

import kopf

from squall.spec.base import API_GROUP, API_VERSION
from squall_operator import cache
from squall_operator.manifests.owned import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from squall_operator.settings import Settings

_OWN: Final = (cache.LOAD_TESTS, cache.SCHEDULES, cache.POLICIES)
_IDENTITY: Final[Any] = "squall-operator"
_VERSION: Final = API_VERSION.partition("/")[2]


class _Forever:
    """Pauses before another try, without an end: an API server that is away comes back, and the process must be there then."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 1.0, 2.0, 3.0), itertools.repeat(5.0))


def make_registry(seen: Callable[[str, Mapping[str, Any], bool], None]) -> kopf.OperatorRegistry:
    """The handlers.

    Args:
        seen: Told of each object that a watch shows: the plural of its kind, the object, and whether it is gone.
    """
    registry = kopf.OperatorRegistry()

    def on_event(plural: str) -> Callable[..., Any]:
        async def handle(event: kopf.RawEvent, **_: Any) -> None:
            seen(plural, event["object"], event["type"] == "DELETED")

        handle.__name__ = f"see_{plural}"
        return handle

    for plural in _OWN:
        kopf.on.event(API_GROUP, _VERSION, plural, registry=registry)(on_event(plural))
    kopf.on.event("batch", "v1", cache.JOBS, registry=registry, labels={RUN: kopf.PRESENT})(
        on_event(cache.JOBS)
    )
    kopf.on.event("", "v1", cache.PODS, registry=registry, labels={RUN: kopf.PRESENT})(on_event(cache.PODS))

    @kopf.on.login(registry=registry)
    def login(**given: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)

    return registry


def make_settings() -> kopf.OperatorSettings:
    """How kopf watches."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # which would take rights on CRDs and namespaces
    settings.networking.error_backoffs = _Forever()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.watching.server_timeout = 600
    settings.queueing.error_delays = _Forever()
    settings.watching.label_selectors["batch", "v1", cache.JOBS] = RUN
    settings.watching.label_selectors["", "v1", cache.PODS] = RUN
    return settings


async def watch(settings: Settings, seen: Callable[[str, Mapping[str, Any], bool], None]) -> None:
    """Watch until cancelled."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    await kopf.operator(
        registry=make_registry(seen),
        settings=make_settings(),
        standalone=True,
        # Else it would ask for the name of the user, and the number that pods run as has none.
        identity=_IDENTITY,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )
