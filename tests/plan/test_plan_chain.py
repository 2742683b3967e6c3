"""What a run on a chain costs, told before it: wallets in closed form, gas and fees as far as they are known."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.cli.plan_chain import chain_lines
from squall.plan.chain import chain_cost, chain_document
from squall.plan.compile import compile_plan
from squall.plan.funding import batch_of, filling
from squall.plan.wallets import uses_wallet, wallets_of
from squall.spec.loadtest import LoadTestSpec
from squall.spec.scenarios import Scenario

SEND = {"evm": {"transaction": {"to": f"0x{1:040x}"}}}
READ = {"evm": {"balance": {"of": f"0x{1:040x}", "result": "b"}}}
CLOSED = {"executor": "constant-vus", "vus": 7, "duration": "10s"}
OPEN = {"executor": "constant-arrival-rate", "rate": 5, "duration": "10s", "maxVUs": 9}


def spec_of(*scenarios, shards=1, wallets=None, **more):
    named = [{"name": f"s{place}", "steps": [SEND], **each} for place, each in enumerate(scenarios)]
    evm = {
        "endpoints": [{"name": "node", "url": "http://h"}],
        "wallets": {"seed": "s", "count": 1000, **(wallets or {})},
        "funding": {"keys": ["k"], "amount": "0.1"},
        **more.pop("evm", {}),
    }
    return LoadTestSpec.model_validate({"scenarios": named, "shards": shards, "evm": evm, **more})


def wallets(spec):
    plan = compile_plan(spec)
    return sum(wallets_of(spec, plan, shard) for shard in range(plan.shards))


@given(shards=st.integers(1, 9), vus=st.integers(1, 40), count=st.integers(1, 60))
def test_a_wallet_for_each_vu_however_they_are_split(shards, vus, count):
    spec = spec_of({**CLOSED, "vus": vus}, shards=shards, wallets={"count": count})
    # Shard i has as many VUs as it has wallets of the first `vus`, so the shares fit each other.
    assert wallets(spec) == min(vus, count)


@given(shards=st.integers(1, 9), rate=st.integers(1, 20))
def test_a_wallet_for_each_iteration_where_their_number_is_known(shards, rate):
    spec = spec_of({**OPEN, "rate": rate}, shards=shards, wallets={"per": "iteration"})
    assert wallets(spec) == 10 * rate


def test_as_many_as_there_are_where_only_time_ends_it():
    assert wallets(spec_of(CLOSED, shards=3, wallets={"per": "iteration"})) == 1000
    assert wallets(spec_of({**CLOSED, "maxIterations": 30}, wallets={"per": "iteration"})) == 30


def test_random_arrivals_may_be_more_than_their_mean():
    spec = spec_of({**OPEN, "arrivals": "poisson"}, wallets={"per": "iteration"})
    assert wallets(spec) == 50 + math.ceil(6 * math.sqrt(50))


def test_only_what_acts_takes_a_wallet():
    kinds = {
        "reads": ([READ], False),
        "sends": ([SEND], True),
        "deep": ([{"group": {"steps": [{"if": {"condition": "1 > 0", "then": [SEND]}}]}}], True),
        "own balance": ([{"evm": {"balance": {"result": "b"}}}], True),
        "encrypts": ([{"encrypt": {"data": "d", "message": "m", "result": "r"}}], True),
        "by password": ([{"encrypt": {"data": "d", "password": "m", "result": "r"}}], False),
        "names it": ([{"set": {"who": "${wallet.address}"}}], True),
        "looks at it": ([{"check": {"is mine": "wallet.index > 3"}}], True),
        "asks": ([{"http": {"url": "/wallet"}}], False),
    }
    spec = spec_of(*[{**CLOSED, "steps": steps} for steps, _ in kinds.values()])
    found = [uses_wallet(scenario) for scenario in spec.scenarios]
    assert dict(zip(kinds, found, strict=True)) == {name: acts for name, (_, acts) in kinds.items()}


@pytest.mark.parametrize(
    "step",
    [
        {"evm": {"call": {"to": "x", "function": "f(address)", "args": ["${wallet.address}"]}}},
        {"evm": {"rpc": {"method": "eth_call", "params": [["${wallet.address}"]]}}},
        {"check": {"mine": "wallet.index > 1"}},
    ],
)
def test_whoever_only_names_its_wallet_takes_one(step):
    scenario = {"name": "s", "executor": "constant-vus", "vus": 1, "duration": "1s", "steps": [step]}
    assert uses_wallet(Scenario.model_validate(scenario))


def test_setup_may_take_one_more_on_any_shard():
    assert wallets(spec_of(CLOSED, shards=3, setup={"steps": [SEND]})) == 7 + 3
    assert wallets(spec_of(CLOSED, shards=3, setup={"steps": [READ]})) == 7


@given(
    wallets=st.integers(0, 500),
    amount=st.integers(0, 10**20),
    batch=st.integers(1, 100),
    fee=st.integers(0, 10**12),
)
def test_more_wallets_never_cost_less_and_parts_never_less_than_the_whole(wallets, amount, batch, fee):
    need = filling(wallets, amount, batch)
    assert need.cost(fee) <= filling(wallets + 1, amount, batch).cost(fee)
    halves = filling(wallets // 2, amount, batch), filling(wallets - wallets // 2, amount, batch)
    assert sum(half.cost(fee) for half in halves) >= need.cost(fee) - 2 * fee
    assert need.amount == wallets * amount


def test_a_batch_is_at_most_half_of_what_is_filled_ahead():
    funding = spec_of(CLOSED).evm.funding
    assert [batch_of(funding, shards) for shards in (1, 2, 10, 500)] == [100, 50, 10, 1]


def test_cost_is_told_as_far_as_it_is_known():
    spec = spec_of(
        OPEN,
        wallets={"per": "iteration"},
        evm={"fees": {"maxFee": "2 gwei"}, "gas": {"policy": "fixed", "limit": 60_000}},
    )
    cost = chain_cost(spec, compile_plan(spec))
    assert cost.wallets == cost.funding.wallets == 50
    assert cost.funding.lent == 5 * 10**18
    assert cost.funding.total == cost.funding.lent + cost.funding.gas * 2 * 10**9
    assert cost.scenarios[0].gas == 50 * 60_000
    lines = "\n".join(chain_lines(cost))
    assert "50 wallets filled up to 0.1" in lines
    assert "3,000,000 gas in all, 0.006" in lines
    document = json.loads(json.dumps(chain_document(cost)))
    assert document["funding"]["totalWei"] == str(cost.funding.total)
    assert document["scenarios"][0]["costWei"] == str(3_000_000 * 2 * 10**9)


@pytest.mark.parametrize(
    ("wallets", "sweep", "gas", "said"),
    [
        ({}, True, 8 * 21_000, "What is left goes back"),
        ({"seed": None, "keys": "keys.txt"}, True, 21_000, "Wallets keep what they are given"),
        ({}, False, 0, "What is left stays there until `squall evm sweep`"),
    ],
)
def test_it_is_said_whether_what_is_left_goes_back(wallets, sweep, gas, said):
    spec = spec_of(CLOSED, wallets=wallets, evm={"funding": {"keys": ["k"], "sweep": sweep}})
    cost = chain_cost(spec, compile_plan(spec))
    assert cost.funding.sweep_gas == gas
    lines = "\n".join(chain_lines(cost))
    assert said in lines
    assert ("to give back" in lines) == bool(gas)


def test_what_only_the_chain_knows_is_null():
    spec = spec_of({**CLOSED, "steps": [SEND, {"repeat": {"times": 3, "steps": [SEND]}}]})
    document = chain_document(chain_cost(spec, compile_plan(spec)))
    assert document["feeWei"] is document["funding"]["totalWei"] is document["scenarios"][0]["gas"] is None
    assert document["scenarios"][0]["transactionsPerIteration"] == {"least": 4, "most": 4}


def test_a_test_without_a_chain_has_no_such_cost():
    spec = LoadTestSpec.model_validate(
        {"scenarios": [{"name": "s", "steps": [{"http": {"url": "/"}}], **CLOSED}]}
    )
    assert chain_cost(spec, compile_plan(spec)) is None
