"""The engine on a chain, within the test's own process: what is logged, what is sent as it is, what a stop lets through."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.anvil import anvil
from support.chainruns import FUNDER, NOBODY, balance, on_chain
from support.driving import Measured, Told, assignment, drive_steps, prepared, target
from support.rpcproxy import RpcProxy

from squall.logs.log import Log
from squall_runner.engine import Engine
from squall_runner.evm.signing.encryption import decrypt_with_password
from squall_runner.load import LoadError

PAY: dict[str, Any] = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "1 wei"}}}


async def test_what_was_encrypted_is_sent_as_it_is() -> None:
    async with target() as server:
        steps = [
            {"generate": {"size": 600, "result": "profile"}},
            {"encrypt": {"data": "${profile}", "password": "open", "result": "cipher"}},
            {"encrypt": {"data": "${profile}", "password": "open", "encoding": "base64", "result": "locked"}},
            {"http": {"method": "PUT", "url": "/raw", "raw": "${cipher}"}},
            {"http": {"method": "PUT", "url": "/text", "raw": "${locked}"}},
        ]
        await drive_steps(server, steps)
        raw, text = (seen.body for seen in server.seen)
    plain = decrypt_with_password(raw, "open")
    assert len(plain) == 600
    assert json.loads(plain)["metadata"]["kind"] == "synthetic"
    assert decrypt_with_password(base64.b64decode(text), "open") == plain


async def test_generated_data_depends_on_run_vu_and_iteration_alone() -> None:
    bodies = []
    for _ in range(2):
        async with target() as server:
            steps = [
                {"set": {"drawn": "${random.string(3)}"}},
                {"generate": {"size": 600, "result": "profile"}},
                {"http": {"method": "PUT", "url": "/", "raw": "${profile}"}},
            ]
            await drive_steps(server, steps, iterations=2)
            bodies.append([seen.body for seen in server.seen])
    assert bodies[0] == bodies[1]
    assert bodies[0][0] != bodies[0][1]


async def test_lines_of_iterations_tell_the_wallet(tmp_path: Path) -> None:
    with anvil() as node:
        logs = {"logs": {"iterations": {"sample": "100%", "maxPerSecond": 1000}}}
        test = on_chain(node, PAY, outputs=logs)
        with closing(Log(tmp_path / "log", "runner")) as log:
            engine = Engine(assignment(test), attempt="a1", hooks=replace(Told().hooks(), lines=log.lines))
            try:
                await engine.prepare()
                engine.use_setup(await engine.setup())
                await engine.drive(time.monotonic_ns())
                await engine.teardown()
            finally:
                await engine.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines].count("flow_complete") == 2
    assert all(line["wallet"].startswith("0x") for line in lines)
    actions = [line for line in lines if line["event"] == "action"]
    assert {line["action"] for line in actions} == {"transaction"}
    assert all(line["hash"].startswith("0x") and line["block"] > 0 for line in actions)
    assert len({line["wallet"] for line in lines}) == 2


async def test_after_a_stop_no_call_of_the_load_goes_out_and_teardown_gives_back() -> None:
    with anvil(block_time=0.3) as node:
        before = balance(node)
        engine = Engine(assignment(on_chain(node, PAY, duration="30s")), attempt="a1", hooks=Told().hooks())
        try:
            await engine.prepare()
            engine.use_setup(await engine.setup())
            driving = asyncio.create_task(engine.drive(time.monotonic_ns()))
            while not balance(node, NOBODY):
                await asyncio.sleep(0.05)
            engine.stop(0.2)
            last = engine.last_request_ns
            async with asyncio.timeout(5):
                await driving
            assert engine.last_request_ns == last
            await engine.teardown()
        finally:
            await engine.close()
        assert 0 < before - balance(node) < 10**17


async def test_without_its_packages_a_run_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "squall_runner.evm.chain", None)
    with anvil() as node:
        engine = Engine(assignment(on_chain(node, PAY)), attempt="a1", hooks=Told().hooks())
        with pytest.raises(LoadError) as caught:
            await engine.prepare()
        await engine.close()
    assert caught.value.reason == "ExtraMissing"
    assert "squall[evm]" in caught.value.hint


def test_a_runner_without_a_chain_loads_nothing_of_it() -> None:
    code = (
        "import sys; import squall_runner.main, squall_runner.agent, squall_runner.engine\n"
        "print([name for name in sys.modules if 'squall_runner.evm' in name or name in {'coincurve', 'eth_abi'}])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"


async def test_what_a_stop_has_interrupted_counts_nowhere() -> None:
    full = {"code": -32000, "message": "txpool is full"}
    with anvil() as node:
        async with RpcProxy(node.url) as proxy:
            test = on_chain(
                node, PAY, duration="30s", evm={"endpoints": [{"name": "full", "url": proxy.url}]}
            )
            async with prepared(test, Told()) as engine:
                begun = asyncio.create_task(engine.drive(time.monotonic_ns()))
                while not balance(node, NOBODY):
                    await asyncio.sleep(0.02)
                proxy.faults.errors = {"eth_sendRawTransaction": full}
                refused = proxy.calls["eth_sendRawTransaction"] + 2
                while proxy.calls["eth_sendRawTransaction"] < refused:
                    await asyncio.sleep(0.02)
                engine.stop(5)
                await begun
                measured = Measured().take(engine.measure(0))
    assert measured.count("evm_tx_errors") == 0


async def test_a_runner_that_follows_another_takes_nothing_of_that_ones_for_its_own() -> None:
    with anvil() as node:
        money = {"keys": [FUNDER], "amount": "1", "ahead": 4, "refillBelow": "0.5"}
        same = {
            "fees": {"maxFee": "5 gwei", "priorityFee": "1 gwei"},
            "gas": {"policy": "fixed", "limit": 21000},
        }
        test = on_chain(node, PAY, evm={"funding": money, **same})
        async with prepared(test, Told()) as first:
            await first.drive(time.monotonic_ns())
        second = Engine(assignment(test), attempt="a2", hooks=Told().hooks())
        try:
            await second.prepare()
            await second.drive(time.monotonic_ns())
        finally:
            await second.close()
        assert balance(node, NOBODY) == 4


async def test_a_run_is_refused_when_gas_stays_too_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squall_runner.evm.beforehand.PRICE_SECONDS", 0.3)
    told = Told()
    with anvil(block_time=0.1) as node:
        with pytest.raises(LoadError, match=r"the base fee is .* above spec\.evm\.fees\.limit") as caught:
            async with prepared(on_chain(node, PAY, evm={"fees": {"limit": "1 wei"}}), told):
                pass
        assert caught.value.reason == "FundingFailed"
    (waited,) = [data["message"] for _, event, data in told.notes if event == "GasTooDear"]
    assert "above spec.evm.fees.limit of 0.000000001 gwei: what is to be sent waits" in waited


async def test_what_teardown_has_sent_is_in_a_block_before_its_wallet_is_emptied() -> None:
    transaction = {**PAY["evm"]["transaction"], "wait": "accepted"}
    told = Told()
    with anvil(block_time=0.5) as node:
        before = balance(node)
        test = on_chain(
            node, PAY, teardown={"steps": [{"name": "last", "evm": {"transaction": transaction}}]}
        )
        async with prepared(test, told) as engine:
            await engine.drive(time.monotonic_ns())
            await engine.teardown()
        assert balance(node, NOBODY) == 3
        assert 0 < before - balance(node) < 10**17
    assert [data["left"] for _, event, data in told.notes if event == "Swept"] == ["0"]


@pytest.mark.parametrize("deployed", [False, True])
async def test_a_contract_has_to_be_there_after_setup(deployed: bool) -> None:
    with anvil() as node:
        code = "0x60006000f3" if deployed else "0x"
        steps = [{"evm": {"rpc": {"method": "anvil_setCode", "params": [NOBODY, code]}}}]
        contract = {"name": "late", "address": NOBODY, "signatures": ["function f()"]}
        test = on_chain(node, PAY, evm={"contracts": [contract]}, setup={"steps": steps})
        engine = Engine(assignment(test), attempt="a1", hooks=Told().hooks())
        try:
            await engine.prepare()
            if deployed:
                await engine.setup()
            else:
                with pytest.raises(LoadError, match=f"no contract at {NOBODY}, where late should be"):
                    await engine.setup()
        finally:
            await engine.close()
