"""What belongs to parts of a system: components by the tag of that name, and the EVM chain that steps act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards.look import (
    BAD,
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    UP_NAMES,
    WARNING,
    Query,
    figure,
    lines,
    states,
)
from squall_dashboards.promql import (
    RUN,
    final,
    final_or_zero,
    or_zero,
    quantile,
    rate,
    ratio,
    total_per_second,
    where,
)

if TYPE_CHECKING:
    from squall_dashboards.look import Panel

_DURATION = "squall_component_duration_seconds"
_NAMED = 'component!=""'


def components() -> list[Panel]:
    """By the tag `component`."""
    by, legend = ["component"], "{{component}}"
    failed = ratio(
        "squall_component_failed_total", "squall_component_failed_samples_total", RUN, _NAMED, by=by
    )
    return [
        lines(
            "p95 by component",
            "Of the steps that have the tag component, whatever their kind.",
            SECONDS,
            Query(quantile(0.95, _DURATION, RUN, _NAMED, by=by), legend),
        ),
        lines(
            "Where the time of flows goes",
            "What the steps of a component take together, in seconds per second: so many flows are in it on the mean.",
            COUNT,
            Query(total_per_second(_DURATION, RUN, _NAMED, by=by), legend),
            stacked=True,
        ),
        lines(
            "Failed steps by component",
            "The share of its steps that failed.",
            SHARE,
            Query(failed, legend),
            most=1,
        ),
    ]


def chain() -> list[Panel]:
    """Of runs that act on an EVM chain."""
    return [*_figures(), *_transactions(), *_nodes()]


def _figures() -> list[Panel]:
    whole = "Over all of the run."
    return [
        figure(
            "Transactions sent",
            f"Replacements are no further ones. {whole}",
            COUNT,
            Query(final("squall_evm_txs_total", RUN), "transactions"),
            width=4,
        ),
        figure(
            "Gas used",
            f"By transactions that are in a block. {whole}",
            COUNT,
            Query(final("squall_evm_gas_used_total", RUN), "gas"),
            width=4,
        ),
        figure(
            "Fees paid",
            f"In the chain's native token. {whole}",
            COUNT,
            Query(final("squall_evm_fees_total", RUN), "fees"),
            width=4,
        ),
        figure(
            "Calls per transaction",
            f"Calls of nodes, for all that the run did, by transactions sent. {whole}",
            COUNT,
            Query(
                f"{final('squall_evm_rpc_reqs_total', RUN)} / {final('squall_evm_txs_total', RUN)}", "calls"
            ),
            width=4,
        ),
        figure(
            "Replaced, and gaps closed",
            f"Transactions that were replaced by ones that pay more, and gaps in nonces that were closed. {whole}",
            COUNT,
            Query(final_or_zero("squall_evm_tx_replaced_total", RUN), "replaced"),
            Query(final_or_zero("squall_evm_nonce_gaps_total", RUN), "gaps"),
            width=8,
        ),
    ]


def _transactions() -> list[Panel]:
    clocks = {"accept": "accepted", "inclusion": "seen in a block"}
    named = {f"squall_evm_tx_{name}_duration_seconds": legend for name, legend in clocks.items()}
    named["squall_evm_tx_block_delay_seconds"] = "time stamp of its block"
    return [
        lines(
            "Transactions",
            "Sent a second, and those that were refused, dropped or reverted.",
            PER_SECOND,
            Query(rate("squall_evm_txs_total", RUN), "transactions"),
            Query(or_zero(rate("squall_evm_tx_failed_total", RUN)), "failed", BAD),
            width=12,
        ),
        lines(
            "p95 of a transaction's clocks",
            "From the moment before it is sent until a node has accepted it, until the time stamp of its block, which has whole "
            "seconds and is the block producer's, and until its receipt was seen.",
            SECONDS,
            *(Query(quantile(0.95, trend, RUN), legend) for trend, legend in named.items()),
            width=12,
        ),
        lines(
            "Gas a second",
            "Used by transactions that came into a block.",
            COUNT,
            Query(rate("squall_evm_gas_used_total", RUN, by=["step"]), "{{step}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "On their way into a block",
            "Transactions that were sent and are in no block yet, of all runners.",
            COUNT,
            Query(f"sum(squall_evm_pending_txs{where(RUN)})", "on their way", WARNING),
            width=12,
        ),
    ]


def _nodes() -> list[Panel]:
    by, legend = ["endpoint"], "{{endpoint}}"
    failed = ratio("squall_evm_rpc_failed_total", "squall_evm_rpc_failed_samples_total", RUN, by=by)
    return [
        lines(
            "Calls of nodes by method",
            "Calls a second, at all endpoints.",
            PER_SECOND,
            Query(rate("squall_evm_rpc_reqs_total", RUN, by=["rpc_method"]), "{{rpc_method}}"),
            stacked=True,
        ),
        lines(
            "Failed calls by endpoint",
            "The share of its calls that failed, by status or by an error that came with status 200.",
            SHARE,
            Query(failed, legend),
            most=1,
        ),
        lines(
            "p95 of calls by endpoint",
            "One call, waiting for its turn included.",
            SECONDS,
            Query(quantile(0.95, "squall_evm_rpc_duration_seconds", RUN, by=by), legend),
        ),
        lines(
            "Endpoints behind the others",
            "How far the head of each is behind that of the others, as the runner saw it that saw it worst.",
            SECONDS,
            Query(f"max by (endpoint) (squall_evm_head_lag_seconds{where(RUN)})", legend),
            width=12,
        ),
        states(
            "Endpoints",
            "Whether each gets calls, or is left out as it fails or is behind.",
            Query(f"min by (endpoint) (squall_evm_endpoint_up{where(RUN)})", legend),
            UP_NAMES,
        ),
    ]
