"""Whole runs on a chain: shards with wallets of their own, stops, and chains that are not the right one."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from support.anvil import anvil
from support.chainruns import FUNDER, FUNDER_ADDRESS, NOBODY, balance, on_chain, receivers, transactions
from support.squallrun import Squall

PAY: dict[str, Any] = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "1 wei"}}}


def test_two_shards_on_two_runners_have_different_wallets(squall: Squall) -> None:
    with anvil() as node:
        test = on_chain(node, PAY, shards=2)
        test["spec"]["scenarios"][0] |= {"vus": 4}
        ended = squall(test, processes=2).ended()
        assert ended.outcome()[1] == "Passed", ended.out
        senders = receivers(node, 1)
    assert len(senders) == len(set(senders)) == 4
    assert ended.count("evm_txs") == 4
    journal = json.loads((ended.results / "evm.json").read_text())
    assert (journal["chainId"], journal["shards"], journal["funders"]) == (31337, 2, [FUNDER_ADDRESS])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_gives_back_what_is_left(squall: Squall, number: signal.Signals) -> None:
    with anvil(block_time=0.2) as node:
        before = balance(node)
        run = squall(on_chain(node, PAY, duration="40s", shards=2), processes=2)
        run.wait_until(lambda: balance(node, NOBODY) > 4, "transactions")
        run.signal_group(number)
        ended = run.ended()
        assert ended.outcome()[:3] == (105, "Aborted", "user"), ended.out
        swept = next(line for line in ended.log if line["event"] == "Swept")
        assert swept["left"] == "0"
        lost = before - balance(node)
    assert 0 < lost < 10**17  # gas; without the sweep it would be whole tokens


def test_all_gas_that_a_run_has_paid_is_in_its_report(squall: Squall) -> None:
    with anvil() as node:
        before = balance(node)
        ended = squall(on_chain(node, PAY, shards=2), processes=2).ended()
        assert ended.outcome()[1] == "Passed", ended.out
        lost = before - balance(node) - balance(node, NOBODY)
        chain = ended.summary.chain
    assert chain is not None
    assert chain.cost is not None
    assert 0 < chain.cost.fees < chain.funding_fees
    assert chain.cost.fees + chain.funding_fees == pytest.approx(lost / 1e18, rel=1e-9)
    assert "the gas of lending it and of taking it back is one" in (ended.results / "report.md").read_text()


def test_another_chain_is_refused_before_anything_is_sent(squall: Squall) -> None:
    with anvil() as node:
        ended = squall(on_chain(node, PAY, evm={"chainId": 5})).ended()
        assert ended.outcome() == (104, "Error", "", "ChainMismatch"), ended.out
        assert "chain 31337" in ended.said, ended.out
        assert transactions(node) == 0


def test_a_chain_with_money_of_value_has_to_be_named(squall: Squall) -> None:
    with anvil(chain_id=137) as node:
        refused = squall(on_chain(node, PAY)).ended()
        assert refused.outcome()[::3] == (104, "ChainMismatch"), refused.out
        assert "Polygon" in refused.said, refused.out
        assert transactions(node) == 0
        named = squall(on_chain(node, PAY, evm={"chainId": 137})).ended()
        assert named.outcome()[1] == "Passed", named.out


def test_a_funder_that_is_short_is_told_before_the_load(squall: Squall) -> None:
    with anvil() as node:
        ended = squall(
            on_chain(node, PAY, evm={"funding": {"keys": [f"0x{'42' * 32}"], "amount": "1"}})
        ).ended()
        assert ended.outcome()[::3] == (109, "FunderShort"), ended.out
        assert "there is too little money" in ended.said, ended.out
        assert not receivers(node, 1)


def test_wallets_that_run_out_stop_their_scenario(squall: Squall) -> None:
    with anvil() as node:
        wallets = {"seed": "a seed", "count": 3, "per": "iteration", "whenExhausted": "stop"}
        ended = squall(on_chain(node, PAY, evm={"wallets": wallets}, duration="20s")).ended()
        senders = receivers(node, 1)
    assert len(set(senders)) == len(senders) == 3, ended.out
    assert "the 3 wallets were used up" in str(ended.log)


def test_a_wallet_that_had_too_little_for_a_transaction_is_filled_up_when_it_is_used_again(
    squall: Squall,
) -> None:
    large = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "0.06"}}}
    with anvil() as node:
        funding = {"keys": [FUNDER], "amount": "0.1", "refillBelow": "0.01"}
        test = on_chain(node, large, evm={"funding": funding}, vus=1)
        test["spec"]["scenarios"][0]["iterations"] = 3
        ended = squall(test).ended()
        paid = balance(node, NOBODY)
    assert paid == 2 * 6 * 10**16, ended.out  # the first, and the third after it was filled up


def test_other_ways_to_send(squall: Squall) -> None:
    """News by WebSocket, calls in batches, a wallet for each iteration, legacy fees, signed ahead, confirmed."""
    legacy = {
        "to": NOBODY,
        "value": "1 wei",
        "fees": {"type": "legacy"},
        "wait": "accepted",
        "result": "first",
    }
    confirmed = {"to": NOBODY, "value": "2 wei", "wait": "confirmed", "result": "second"}
    steps = [
        {"name": "legacy", "evm": {"transaction": legacy}},
        {"name": "confirmed", "evm": {"transaction": confirmed}},
        {"check": {"in order": "first.nonce == 0 and second.nonce == 1", "paid": "second.status == 1"}},
        {
            "evm": {
                "rpc": {"method": "eth_getTransactionByHash", "params": ["${first.hash}"], "result": "seen"}
            }
        },
        {"check": {"legacy": "seen.type == '0x0'"}},
    ]
    with anvil(block_time=0.2) as node:
        evm = {
            "endpoints": [{"name": "node", "url": node.url, "webSocket": node.url.replace("http", "ws")}],
            "rpc": {"batch": {"max": 10, "wait": "1ms"}},
            "wallets": {"seed": "of ${run.id}", "count": 20, "per": "iteration", "order": "fewestPending"},
            "confirmations": 2,
            "preSign": 20,
        }
        test = on_chain(node, *steps, evm=evm)
        test["spec"]["scenarios"][0]["iterations"] = 3
        ended = squall(test).ended()
        senders = receivers(node, 2)
    assert ended.outcome()[1] == "Passed", ended.out
    rates = {row.metric: row.values for row in ended.summary.metrics if row.tags == {}}
    assert rates["checks"]["rate"] == 1, ended.out
    assert len(senders) == len(set(senders)) == 6
    assert rates["evm_tx_confirmation_duration"]["count"] == 6
    assert rates["evm_tx_confirmation_duration"]["min"] > 0.2
