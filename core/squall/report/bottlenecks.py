"""Which part of a system keeps flows from being faster or more, in sentences that follow from the figures.

What is advised is what the same figures say: how much a flow would gain where one component is faster, which one lost its
pace as load rose, what waits. Nothing is guessed of the system behind a component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.metrics import format as fmt
from squall.report.breakdown import CLOCKS
from squall.report.figures import find
from squall.report.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.report.model import Summary
    from squall.report.parts import ComponentSummary, OwnMetric

_MANY: Final = 0.05
"""A component of whose steps more than this failed is the bottleneck, however fast it was."""
_GREW: Final = 2.0
"""A p95 that is this many times that of the first stage has lost its pace."""
_KEPT: Final = 1.5
_QUEUE: Final = ("queue", "depth", "backlog", "pending", "waiting")
"""Words in the name of a gauge that tell that it counts what waits."""


def bottlenecks(summary: Summary) -> Iterator[Finding]:
    """What limits flows, the component first."""
    if summary.components:
        yield _bottleneck(summary)
        yield from _growing(summary)
        yield from _queues(summary)
    if summary.chain is not None:
        yield from _chain(summary)


def _bottleneck(summary: Summary) -> Finding:
    failing = max(summary.components, key=_failed)
    if _failed(failing) > _MANY:
        return _failing(summary, failing)
    first, *others = summary.components
    text = (
        f"The bottleneck is {first.name}: {fmt.share(first.share)} of the time of flows, p95 "
        f"{fmt.time(first.p95_seconds)} at {fmt.number(first.per_second)} steps/s."
    )
    if not others:
        return Finding(text)
    second = others[0]
    advice = (
        f"Were {first.name} twice as fast, a flow would take {fmt.share(first.share / 2)} less time; {second.name}, the "
        f"next one, would give {fmt.share(second.share / 2)}."
    )
    return Finding(text, advice)


def _failed(component: ComponentSummary) -> float:
    return component.failed / component.steps if component.steps else 0.0


def _failing(summary: Summary, failing: ComponentSummary) -> Finding:
    every = sum(each.failed for each in summary.components)
    return Finding(
        f"The bottleneck is {failing.name}: {fmt.number(failing.failed)} of its {fmt.number(failing.steps)} steps failed, "
        f"{fmt.share(_failed(failing))}, which is {fmt.share(failing.failed / every)} of all failures of "
        "components.",
        f"See to its failures before load is added: what comes after {failing.name} had less load than planned.",
    )


def _growing(summary: Summary) -> Iterator[Finding]:
    for each in summary.components:
        if each.growth is not None and each.growth >= _GREW:
            kept = [
                other.name
                for other in summary.components
                if other.growth is not None and other.growth < _KEPT
            ]
            text = (
                f"{each.name} became slower: in {each.growth_stage} its p95 was {each.growth:.1f} times that of the first "
                "stage."
            )
            others = f" {' and '.join(kept)} kept the pace and can carry more." if kept else ""
            yield Finding(text, f"{each.name} is to be scaled first.{others}")


def _queues(summary: Summary) -> Iterator[Finding]:
    for component in summary.components:
        for own in component.own:
            if _fills(own):
                yield Finding(
                    f"{component.name}: {own.metric} rose from {fmt.number(own.values['min'])} to "
                    f"{fmt.number(own.values['max'])} and was {fmt.number(own.values['value'])} at the end.",
                    f"More came to {component.name} than it did: it needs more capacity, or flows have to come slower.",
                )


def _fills(own: OwnMetric) -> bool:
    """Whether a gauge counts what waits, rose, and had not fallen again when the load ended."""
    if own.kind != "gauge" or not any(word in own.metric.lower() for word in _QUEUE):
        return False
    low, high, last = (own.values.get(name, 0.0) for name in ("min", "max", "value"))
    return high >= 2 * max(low, 1.0) and last >= 0.8 * high


# -- the chain ------------------------------------------------------------------------------------------------------

_RPC_FAILED: Final = 0.01
_LAG_SECONDS: Final = 10.0
_WAIT_SECONDS: Final = 1.0


def _chain(summary: Summary) -> Iterator[Finding]:
    yield from _endpoints(summary)
    yield from _where_time_goes(summary)
    waits = find(summary.metrics, "evm_wallet_wait")
    if waits and waits.values["p95"] >= _WAIT_SECONDS:
        yield Finding(
            f"Iterations waited for a funded wallet: p95 {fmt.time(waits.values['p95'])}.",
            "Funding was slower than flows: raise `funding.ahead` or `funding.batch`, or fund ahead with `squall evm fund`.",
        )
    chain = summary.chain
    if chain is not None and (chain.nonce_gaps or chain.replaced):
        yield Finding(
            f"Transactions that were replaced by ones that pay more: {fmt.number(chain.replaced)}; gaps in nonces that were "
            f"closed: {fmt.number(chain.nonce_gaps)}.",
            "Nodes lost transactions, fees were too low for the blocks, or somebody else used the same wallets.",
        )


def _endpoints(summary: Summary) -> Iterator[Finding]:
    assert summary.chain is not None, "the caller has looked"
    requests: dict[str, int] = {}
    failed: dict[str, int] = {}
    for row in summary.chain.rpc:
        requests[row.endpoint] = requests.get(row.endpoint, 0) + row.requests
        failed[row.endpoint] = failed.get(row.endpoint, 0) + row.failed
    for endpoint, count in failed.items():
        if count > _RPC_FAILED * requests[endpoint] > 0:
            yield Finding(
                f"{fmt.share(min(1.0, count / requests[endpoint]))} of the calls of the endpoint {endpoint} failed "
                f"({fmt.number(count)} of {fmt.number(requests[endpoint])}).",
                "See evm_rpc_errors for what it said; another endpoint takes over what it refuses.",
            )
    lag = find(summary.metrics, "evm_head_lag")
    if lag and lag.values["max"] >= _LAG_SECONDS:
        yield Finding(
            f"An endpoint's head was up to {fmt.time(lag.values['max'])} behind that of the others.",
            "What was asked there was that old: leave it out sooner (`rpc.maxHeadLag`), or take another.",
        )


def _where_time_goes(summary: Summary) -> Iterator[Finding]:
    """Of the time until a transaction is seen in a block, how much is the node's and how much the chain's."""
    accepted, seen = find(summary.metrics, CLOCKS["accepted"]), find(summary.metrics, CLOCKS["seen"])
    if not (
        accepted and seen and accepted.values["count"] and seen.values["count"] and seen.values["avg"] > 0
    ):
        return
    share = min(1.0, accepted.values["avg"] / seen.values["avg"])
    text = (
        f"Of the {fmt.time(seen.values['avg'])} until a transaction is seen in a block, on the mean, "
        f"{fmt.share(share)} is until a node accepts it."
    )
    if share > 0.5:
        yield Finding(text, "Nodes are the limit, not blocks: more endpoints, or larger ones.")
    else:
        yield Finding(
            text, "The rest is waiting for a block: it depends on block time, fees and what else waits there."
        )
