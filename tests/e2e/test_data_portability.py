"""The data-portability example against its own network: the whole flow of a user, its presets, and what happens when a part fails."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from support.dataportability import Network, running_network
from support.examples import DATA_PORTABILITY, Ran, look, run, squall

from squall.errors import ExitCode

QUICK = ("--block-time", "500ms", "--indexer-lag", "100ms", "--inference-time", "300ms")
SHORT = {"RAMP_UP": "2s", "HOLD": "6s", "PEAK": "2s", "RAMP_DOWN": "1s", "USERS_PER_MINUTE": "120"}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running_network(tmp_path_factory.mktemp("network"), *QUICK) as running:
        yield running


def set_all(monkeypatch: pytest.MonkeyPatch, *environments: dict[str, str]) -> None:
    for environment in environments:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)


def left_in_storage(network: Network, ran: Ran) -> list[dict[str, object]]:
    """What a run has left in the storage accounts."""
    body = json.dumps({"prefix": f"{ran.summary.run}/"}).encode()
    request = urllib.request.Request(f"{network['WEB_API_URL']}/api/storage/clean-up", body)
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: list[dict[str, object]] = json.load(answer)["deletions"]
        return found


def test_every_user_gets_through_all_steps_and_nothing_is_left_in_storage(
    network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = network.indexed()
    set_all(monkeypatch, dict(network.environment), {"TOTAL_USERS": "4", "RELAYED_PERCENT": "50"})
    ran = run(DATA_PORTABILITY, "--variant", "debug", cwd=tmp_path)
    assert ran.code == 0, ran.explain()
    done = {name: count - before[name] for name, count in network.indexed().items()}
    assert done == {"files": 4, "permissions": 4, "confirmed": 4, "claimed": 4}
    assert ran.values("checks")["rate"] == 1.0
    assert ran.count("bytes_stored") >= 4 * 1024
    # Who relays sends two transactions, who does not sends three.
    assert 8 <= ran.count("evm_txs") <= 12
    assert left_in_storage(network, ran) == []
    components = {each.name: each for each in ran.summary.components}
    assert components.keys() == {"chain", "storage", "ai"}
    assert (components["storage"].steps, components["ai"].steps) == (
        4,
        8,
    )  # one upload; who serves, and what it says
    assert components["chain"].transactions == ran.count("evm_txs")
    assert components["storage"].own[0].values["count"] == ran.count("bytes_stored")
    assert 0.5 < sum(each.share for each in components.values()) <= 1.0 + 1e-9
    (flow,) = ran.summary.flows
    assert (flow.begun, flow.completed, flow.success) == (4, 4, 1.0)
    cost = ran.summary.chain.cost if ran.summary.chain else None
    assert cost is not None
    assert (cost.flows, cost.planned_flows) == (4, 4)
    assert cost.gas == cost.planned_gas == ran.count("evm_gas_used")


def test_a_continuous_flow_of_two_shards_is_one_flow(
    network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = network.indexed()["claimed"]
    set_all(monkeypatch, dict(network.environment), SHORT, {"SHARDS": "2"})
    ran = run(DATA_PORTABILITY, "--processes", "2", "--set", "thresholds=[]", cwd=tmp_path)
    assert ran.code == 0, ran.explain()
    assert ran.count("iterations") == network.indexed()["claimed"] - before > 5
    assert ran.count("iterations_failed") == 0
    assert left_in_storage(network, ran) == []


def test_five_users_in_a_row_who_come_to_nothing_stop_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with running_network(tmp_path, *QUICK, "--storage-failures", "1") as network:
        set_all(monkeypatch, dict(network.environment), SHORT)
        ran = run(
            DATA_PORTABILITY, "--variant", "fail-fast", "--set", "http.retry.maxRetries=0", cwd=tmp_path
        )
        assert ran.code == ExitCode.SAFETY, ran.explain()
        assert network.indexed()["files"] == 0
    assert "consecutiveFailures" in ran.done.out


LOGGED = ("--set", "outputs.logs.iterations.requests=true", "--set", "thresholds=[]")


def requests(ran: Ran, host: str) -> list[tuple[str, float, float]]:
    """Step, beginning and end of each request of users to a host, in order, in seconds since 1970."""
    logged = map(json.loads, (ran.folder / "runners.jsonl").read_text().splitlines())
    lines = [line for line in logged if line["event"] == "request" and line["url"].startswith(host)]
    ends = [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines]
    found = [(line["step"], end - line["duration"], end) for line, end in zip(lines, ends, strict=True)]
    return sorted(found, key=lambda each: each[1])


def test_users_of_a_batch_begin_together(
    network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = network.indexed()["claimed"]
    every = {"BATCH_SECONDS": "4", "BATCH_INTERVAL": "4s", "USERS_PER_BATCH": "4", "HOLD": "8s"}
    set_all(monkeypatch, dict(network.environment), every, {"LOGGED_FLOWS": "100%", "WALLET_SEED": "batches"})
    ran = run(DATA_PORTABILITY, "--variant", "batches", *LOGGED, cwd=tmp_path)
    assert ran.code == 0, ran.explain()
    assert ran.count("iterations") == network.indexed()["claimed"] - before == 8
    begun = [begin % 4 for step, begin, _ in requests(ran, network["WEB_API_URL"]) if step == "identity"]
    # They arrive a second after each other, at any time.
    assert len(begun) == 8
    assert max(begun) < 3, begun


def test_requests_keep_their_distance_where_hosts_ask_for_it(
    network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = network.indexed()["claimed"]
    users = {"TOTAL_USERS": "2", "USERS_PER_MINUTE": "120", "PEAK_USERS_PER_MINUTE": "120"}
    set_all(monkeypatch, dict(network.environment), SHORT, users)
    set_all(monkeypatch, {"REQUEST_SPACING": "300ms", "LOGGED_FLOWS": "100%", "WALLET_SEED": "spaced"})
    ran = run(DATA_PORTABILITY, "--variant", "spaced", *LOGGED, cwd=tmp_path)
    assert ran.code == 0, ran.explain()
    assert ran.count("iterations") == network.indexed()["claimed"] - before == 2
    begun = [begin for _, begin, _ in requests(ran, network["WEB_API_URL"])]
    assert len(begun) >= 8
    assert min(later - earlier for earlier, later in pairwise(begun)) > 0.25, begun


def test_wallets_can_be_funded_ahead(
    network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few = {"MAX_WALLETS": "4", "TOTAL_USERS": "4", "WALLET_SEED": "funded ahead"}
    set_all(monkeypatch, dict(network.environment), few)
    funded = squall("evm", "fund", DATA_PORTABILITY, "--variant", "debug", cwd=tmp_path)
    assert funded.code == 0, funded.out + funded.err
    again = squall("evm", "fund", DATA_PORTABILITY, "--variant", "debug", cwd=tmp_path)
    assert "nothing was sent" in again.out, again.out + again.err
    ran = run(DATA_PORTABILITY, "--variant", "debug", cwd=tmp_path)
    assert ran.code == 0, ran.explain()
    assert ran.count("iterations") == 4
    assert ran.count("evm_wallets_funded") == 0
    swept = squall("evm", "sweep", DATA_PORTABILITY, "--variant", "debug", cwd=tmp_path)
    assert "Nothing is left to give back" in swept.out, swept.out + swept.err


@pytest.mark.parametrize(
    ("variant", "most", "seconds", "vus"),
    [("burst", 12_500, 3 * 3600, 1000), ("conservative", 5_000, 3600, 200)],
)
def test_presets_are_those_of_the_programme(variant: str, most: int, seconds: int, vus: int) -> None:
    shown = yaml.safe_load(look("show", DATA_PORTABILITY, "--variant", variant).out)["spec"]
    (users,) = shown["scenarios"]
    assert users["maxIterations"] == most
    assert max(each["target"] for each in users["stages"]) == vus
    (planned,) = json.loads(look("plan", DATA_PORTABILITY, "--variant", variant, "--json").out)["scenarios"]
    assert planned["peak"] == vus


def test_settings_come_from_the_environment_before_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"TOTAL_USERS": "77", "MAX_CONCURRENT_USERS": "7", "HOLD": "3m", "MAX_WALLETS": "99"}
    set_all(monkeypatch, settings | {"FUNDING_PER_WALLET": "0.25", "RPC_URL": "http://node.example"})
    set_all(monkeypatch, {"FUNDING_BATCH": "30", "FUNDING_WAIT": "45s"})
    shown = yaml.safe_load(look("show", DATA_PORTABILITY, "--variant", "burst").out)["spec"]
    (users,) = shown["scenarios"]
    assert users["maxIterations"] == 77
    assert [(each["duration"], each["target"]) for each in users["stages"]][1] == ("3m", 7)
    assert shown["evm"]["wallets"]["count"] == 99
    funding = shown["evm"]["funding"]
    assert (funding["amount"], funding["batch"], funding["wait"]) == ("0.25", 30, "45s")
    assert shown["evm"]["endpoints"][0]["url"] == "http://node.example"
