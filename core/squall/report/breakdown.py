"""Components, flows and the chain as tables: drawn alike on the terminal and in Markdown."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from squall.metrics import format as fmt
from squall.report.figures import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from squall.report.model import Summary
    from squall.report.parts import ChainCost, ChainSummary, OwnMetric, RpcSummary


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row says what the row is about.

    Attributes:
        title: Its heading.
        columns: Their headings; that of the first one is empty.
        rows: Texts; not yet safe for any kind of markup.
        note: What the reader has to know, below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables(summary: Summary) -> Iterator[Table]:
    """Those that have rows."""
    made = [_flows(summary), _components(summary), _traffic(summary), _recorded(summary)]
    if summary.chain is not None:
        made += [_clocks(summary), _cost(summary.chain), _rpc(summary.chain)]
    return (table for table in made if table.rows)


def _components(summary: Summary) -> Table:
    rows = tuple(
        (
            each.name,
            fmt.number(each.steps),
            f"{fmt.number(each.per_second)}/s",
            _part(each.failed, each.steps),
            *(fmt.time(value) for value in (each.p50_seconds, each.p95_seconds, each.p99_seconds)),
            fmt.share(each.share),
        )
        for each in summary.components
    )
    note = "Share of flow: of the time of completed flows; the rest is pauses and steps without the tag `component`."
    return Table(
        "Components", ("", "steps", "rate", "failed", "p50", "p95", "p99", "share of flow"), rows, note
    )


def _traffic(summary: Summary) -> Table:
    rows = tuple(
        (
            each.name,
            fmt.number(each.requests),
            _part(each.requests_failed, each.requests),
            fmt.number(each.transactions),
            _part(each.transactions_failed, each.transactions),
            fmt.size(each.sent_bytes),
            fmt.size(each.received_bytes),
        )
        for each in summary.components
    )
    columns = ("", "requests", "failed", "transactions", "failed", "sent", "received")
    return Table("Traffic of components", columns, rows)


def _part(hits: int, of: int) -> str:
    """A share; what was not even sent may have failed as well, so it is never more than all."""
    return fmt.share(min(1.0, hits / of)) if of else "-"


def _flows(summary: Summary) -> Table:
    rows = tuple(
        (
            each.scenario,
            fmt.number(each.begun),
            fmt.number(each.completed),
            fmt.number(each.failed),
            "-" if each.success is None else fmt.share(each.success),
            f"{fmt.number(each.per_second)}/s",
            *(fmt.quantity(value, "s") for value in (each.p50_seconds, each.p95_seconds, each.p99_seconds)),
        )
        for each in summary.flows
    )
    columns = ("", "begun", "completed", "failed", "success", "completed a second", "p50", "p95", "p99")
    return Table(
        "End to end", columns, rows, "A flow is one iteration; its times are those of completed ones."
    )


def _recorded(summary: Summary) -> Table:
    rows = tuple(
        (f"{component.name}: {own.metric}", *_figures(own))
        for component in summary.components
        for own in component.own
    )
    return Table("Recorded by components", ("", "is", "figures"), rows)


def _figures(own: OwnMetric) -> tuple[str, str]:
    shown = {
        "counter": ("count", "rate"),
        "gauge": ("value", "min", "max"),
        "rate": ("rate", "total"),
        "trend": ("count", "med", "p95", "p99", "max"),
    }.get(own.kind, ())
    texts = (f"{name} {_value(own, name)}" for name in shown if name in own.values)
    return own.kind, ", ".join(texts)


def _value(own: OwnMetric, name: str) -> str:
    if own.kind == "counter" and name == "rate":
        return f"{fmt.quantity(own.values[name], own.unit)}/s"
    plain = name == "total" or (name == "count" and own.kind != "counter")
    return fmt.quantity(own.values[name], "1" if plain else own.unit)


CLOCKS: Final = {
    "accepted": "evm_tx_accept_duration",
    "in block": "evm_tx_block_delay",
    "seen": "evm_tx_inclusion_duration",
    "confirmed": "evm_tx_confirmation_duration",
}
"""The clocks of a transaction, all from the moment before it is sent."""


def _clocks(summary: Summary) -> Table:
    if find(summary.metrics, "evm_txs") is None:
        return Table("Transactions", (), ())
    steps = [row.tags for row in summary.metrics if row.metric == "evm_txs" and "step" in row.tags]
    note = (
        "All from the moment before it is sent. Accepted: until a node has answered. In block: until the block's "
        "time stamp, which has whole seconds and is the block producer's. Seen: until the receipt was read. Confirmed: with "
        "the blocks on top that were asked for."
    )
    rows = tuple(_transactions(summary, tags) for tags in ({}, *steps))
    clocks = ("accepted p95", "in block p95", "seen p50", "seen p95", "confirmed p95")
    return Table("Transactions", ("", "sent", "failed", *clocks, "gas each"), rows, note)


def _transactions(summary: Summary, tags: dict[str, str]) -> tuple[str, ...]:
    def values(metric: str) -> dict[str, float]:
        row = find(summary.metrics, metric, **tags)
        return row.values if row else {}

    def clock(name: str, figure: str = "p95") -> str:
        found = values(CLOCKS[name])
        return fmt.time(found[figure]) if found.get("count") else "-"

    nan = float("nan")
    gas = values("evm_gas_used_per_tx")
    return (
        "/".join(tags.values()) or "all",
        fmt.number(values("evm_txs").get("count", nan)),
        fmt.share(values("evm_tx_failed").get("rate", nan)),
        clock("accepted"),
        clock("in block"),
        clock("seen", "med"),
        clock("seen"),
        clock("confirmed"),
        fmt.number(round(gas["avg"])) if gas.get("count") else "-",
    )


def _cost(chain: ChainSummary) -> Table:
    cost = chain.cost
    if cost is None:
        return Table("Cost", (), ())
    rows = [
        (
            "per transaction",
            fmt.number(round(cost.gas_per_transaction)),
            fmt.amount(cost.fees_per_transaction),
        ),
        ("whole run", fmt.number(cost.gas), fmt.amount(cost.fees)),
    ]
    rows[1:1] = [row for row in (_per_flow(cost),) if row]
    if cost.planned_flows is not None and cost.planned_gas is not None and cost.planned_fees is not None:
        name = f"for the {fmt.number(cost.planned_flows)} flows of the plan"
        rows.append((name, fmt.number(round(cost.planned_gas)), fmt.amount(cost.planned_fees)))
    lent = (
        f"{fmt.number(chain.wallets_funded)} wallets were lent {fmt.amount(chain.funding_spent)}. What they had left is no cost; "
        f"the gas of lending it and of taking it back is one, {fmt.amount(chain.funding_fees)} beside what stands here."
    )
    note = "Fees in the chain's native token. Flows are iterations that were begun; the plan's is this run's cost per flow, times its flows."
    return Table("Cost", ("", "gas", "fees"), tuple(rows), f"{note} {lent}" if chain.wallets_funded else note)


def _per_flow(cost: ChainCost) -> tuple[str, str, str] | None:
    if cost.gas_per_flow is None or cost.fees_per_flow is None:
        return None
    return "per flow", fmt.number(round(cost.gas_per_flow)), fmt.amount(cost.fees_per_flow)


def _rpc(chain: ChainSummary) -> Table:
    """One row for each method at each endpoint."""
    columns = ("", "method", "requests", "failed", "p50", "p95", "p99")
    rows = tuple((row.endpoint, row.method, *_call(row)) for row in _by_endpoint(chain.rpc))
    calls = sum(row.requests for row in chain.rpc)
    each = f", {fmt.number(calls / chain.transactions)} for each transaction" if chain.transactions else ""
    return Table("RPC by endpoint and method", columns, rows, f"{fmt.number(calls)} calls in all{each}.")


def _by_endpoint(rows: Iterable[RpcSummary]) -> Sequence[RpcSummary]:
    """The busiest endpoint first, and of each the busiest method."""
    sums: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        sums[row.endpoint] += row.requests
    return sorted(rows, key=lambda row: (-sums[row.endpoint], row.endpoint, -row.requests, row.method))


def _call(row: RpcSummary) -> tuple[str, ...]:
    times = (row.p50_seconds, row.p95_seconds, row.p99_seconds)
    return (
        fmt.number(row.requests),
        _part(row.failed, row.requests),
        *(fmt.quantity(value, "s") for value in times),
    )
