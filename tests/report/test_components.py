"""Components, flows and the chain: their figures, how they are drawn, and what is said to limit a flow."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console
from support import summaries
from support.portability import durations, series, summary, totals

from squall.metrics.names import Merge
from squall.metrics.series import Gauge, Rate
from squall.report import console, markdown
from squall.report.bottlenecks import bottlenecks
from squall.report.comparison import figures
from squall.report.findings import findings
from squall.report.model import Summary


def said(**changes: object) -> dict[str, str]:
    """What limits flows, with its advice."""
    given = summary(**changes)
    assert set(bottlenecks(given)) <= set(findings(given))
    return {finding.text: finding.advice for finding in bottlenecks(given)}


def test_each_component_has_its_time_failures_and_traffic() -> None:
    chain, ai, storage = summary().components
    assert [each.name for each in (chain, ai, storage)] == ["chain", "ai", "storage"]
    assert (chain.steps, chain.failed, chain.per_second) == (100, 2, 2.0)
    assert chain.seconds == pytest.approx(500)
    # Of 980 s of completed flows of the scenario that has components.
    assert [each.share for each in (chain, ai, storage)] == pytest.approx([500 / 980, 300 / 980, 100 / 980])
    assert chain.p95_seconds == pytest.approx(6.0, rel=0.01)
    assert (chain.transactions, chain.transactions_failed, chain.requests) == (100, 2, 0)
    assert (ai.requests, ai.requests_failed) == (400, 4)
    assert (storage.sent_bytes, storage.failed) == (1_024_000, 0)
    assert [(own.metric, own.kind, own.values["max"]) for own in ai.own] == [("queue_depth", "gauge", 45)]
    assert storage.own[0].values == {"count": 1_024_000, "rate": 20_480}


def test_shares_are_of_all_components_where_failed_flows_took_longer_than_completed_ones() -> None:
    short = totals() | {series("iteration_duration"): summaries.histogram(1.0)}
    assert sum(each.share for each in summary(totals=short).components) == pytest.approx(1.0)


def test_flows_are_told_from_end_to_end_of_scenarios_with_components() -> None:
    (flow,) = summary().flows
    assert (flow.scenario, flow.begun, flow.completed, flow.failed) == ("user", 100, 98, 2)
    assert (flow.success, flow.per_second) == (0.98, 98 / 50)
    assert flow.p95_seconds == pytest.approx(10.0, rel=0.01)


def test_costs_are_per_transaction_per_flow_and_for_the_whole_plan() -> None:
    chain = summary().chain
    assert chain is not None
    assert (chain.transactions, chain.transactions_failed, chain.replaced, chain.nonce_gaps) == (100, 2, 3, 1)
    assert chain.cost is not None
    assert (chain.cost.gas, chain.cost.fees) == (5_000_000, 1.2)
    assert (chain.cost.gas_per_transaction, chain.cost.flows) == (50_000, 100)
    assert chain.cost.fees_per_flow == pytest.approx(0.012)
    assert chain.cost.planned_flows == 12_500
    assert chain.cost.planned_fees == pytest.approx(150)


def test_calls_are_told_by_endpoint_and_method() -> None:
    chain = summary().chain
    assert chain is not None
    assert [(row.endpoint, row.method, row.requests, row.failed) for row in chain.rpc] == [
        ("one", "eth_sendRawTransaction", 80, 1),
        ("two", "eth_sendRawTransaction", 22, 2),
        ("one", "eth_getBlockReceipts", 10, 0),
    ]


def test_a_run_without_any_has_none() -> None:
    plain = summaries.summary()
    assert (plain.components, plain.flows, plain.chain) == ((), (), None)
    assert list(bottlenecks(plain)) == []
    assert "Components" not in markdown.render(plain)


def test_it_survives_json_and_a_summary_of_before_still_reads() -> None:
    encoded = msgspec.json.encode(summary())
    assert msgspec.json.decode(encoded, type=Summary) == summary()
    plain = msgspec.json.decode(encoded)
    for name in ("components", "flows", "chain"):
        del plain[name]
    assert msgspec.convert(plain, Summary).components == ()


def test_both_reports_have_it_all() -> None:
    buffer = io.StringIO()
    console.show(summary(), Console(file=buffer, width=180))
    shown, written = buffer.getvalue(), markdown.render(summary())
    for title in (
        "End to end", "Components", "Traffic of components", "Recorded by components", "Transactions", "Cost",
        "RPC by endpoint and method",
    ):  # fmt: skip
        assert title in shown
        assert f"\n## {title}\n" in written
    for view in (shown, written):
        lines = view.replace("|", " ").splitlines()
        chain = next(line.split() for line in lines if line.split()[:1] == ["chain"])
        assert chain == ["chain", "100", "2/s", "2%", "5", "s", "6", "s", "6", "s", "51.02%"]
        assert "for the 12,500 flows of the plan" in view
        register = next(line.split() for line in lines if line.split()[:1] == ["user/register"])
        assert " ".join(register) == "user/register 100 2% 250 ms 3 s 4 s 4 s 8 s 50,000"
    assert "250 wallets were lent 25. What they had left is no cost" in written
    assert "112 calls in all, 1.12 for each transaction." in written


def test_hostile_names_become_no_markup() -> None:
    name = "a|b<script>\x1b[2J"
    given = summary(totals=totals() | durations(name, "x", 1.0, 1.0))
    text = markdown.render(given)
    assert "<script>" not in text
    assert "\x1b" not in text


# -- what limits a flow ---------------------------------------------------------------------------------------------


def test_the_bottleneck_takes_most_of_the_time_and_advice_is_arithmetic() -> None:
    advice = said()["The bottleneck is chain: 51.02% of the time of flows, p95 6 s at 2 steps/s."]
    assert advice == (
        "Were chain twice as fast, a flow would take 25.51% less time; ai, the next one, would give 15.31%."
    )


def test_a_component_that_fails_is_the_bottleneck_however_fast() -> None:
    failing = totals() | {series("component_failed", "storage", "upload"): Rate(27, 100)}
    assert (
        "The bottleneck is storage: 27 of its 100 steps failed, 27%, which is 90% of all failures of components."
    ) in said(totals=failing)


def test_what_lost_its_pace_is_to_be_scaled_first() -> None:
    found = said()
    assert found["ai became slower: in user/hold its p95 was 2.0 times that of the first stage."] == (
        "ai is to be scaled first. storage kept the pace and can carry more."
    )
    assert not any(text.startswith("chain became slower") for text in found)


@pytest.mark.parametrize(
    ("gauge", "told"), [((40, 2, 45), True), ((3, 2, 45), False), ((40, 38, 45), False), ((0, 0, 0), False)]
)
def test_a_queue_that_filled_is_told(gauge: tuple[float, float, float], *, told: bool) -> None:
    given = totals() | {series("queue_depth", "ai", "infer"): Gauge(*gauge, Merge.LAST)}
    assert any("queue_depth rose" in text for text in said(totals=given)) is told


def test_what_the_chain_suffered_is_told() -> None:
    found = said()
    for text in (
        "9.09% of the calls of the endpoint two failed (2 of 22).",
        "1.11% of the calls of the endpoint one failed (1 of 90).",
        "An endpoint's head was up to 45 s behind that of the others.",
        "Iterations waited for a funded wallet: p95 2 s.",
        "Transactions that were replaced by ones that pay more: 3; gaps in nonces that were closed: 1.",
        "Of the 4 s until a transaction is seen in a block, on the mean, 6.25% is until a node accepts it.",
    ):
        assert text in found


# -- compared -------------------------------------------------------------------------------------------------------


def test_components_are_compared() -> None:
    found = {str(key): figure for key, figure in figures(summary()).items()}
    p95 = found["component_duration{component:chain}:p95"]
    assert p95.value == pytest.approx(6.0, rel=0.01)
    assert (p95.better, p95.unit) == ("lower", "s")
    assert found["component_failed{component:chain}:rate"].value == 0.02
