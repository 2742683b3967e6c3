"""Every kind of step on a chain, at work in `squall run` processes against a real node: what it does, and how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from support.anvil import EvmNode, anvil
from support.chainruns import NOBODY, REGISTRY, balance, on_chain
from support.squallrun import Squall

from squall.spec.language import EVENT_MEMBERS, RECEIPT_MEMBERS, WALLET_MEMBERS
from squall_runner.evm.acting import Wallet
from squall_runner.evm.contracts.abi import Abi
from squall_runner.evm.following.heads import Inclusion
from squall_runner.evm.sending.accounts import Account
from squall_runner.evm.signing.keys import wallet_key
from squall_runner.steps.evm.common import as_address
from squall_runner.steps.evm.sending import receipt_view
from squall_runner.steps.evm.waiting import view_of

REGISTRY_AT = {"registry": {"name": "registry", "abi": "registry.json", "address": "${deployed.address}"}}
DEPLOY = {
    "name": "deploy",
    "evm": {"deploy": {"contract": "registry", "args": [f"0x{'00' * 20}", 7, 1000], "result": "deployed"}},
}
ADD = {"contract": "registry", "function": "addFile", "args": ["ipfs://${vu}"], "result": "tx"}


@pytest.fixture(scope="module")
def node() -> Iterator[EvmNode]:
    with anvil() as running:
        yield running


def with_registry(node: EvmNode, *steps: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """A test whose setup has deployed the registry."""
    evm = {"contracts": list(REGISTRY_AT.values())} | parts.pop("evm", {})
    files = [{"name": "registry.json", "inline": REGISTRY.read_text()}]
    return on_chain(node, *steps, evm=evm, files=files, setup={"steps": [DEPLOY]}, **parts)


def test_a_user_uses_a_contract(squall: Squall, node: EvmNode) -> None:
    """Deployed in setup; called, written to, waited for, in the load; and again read in teardown."""
    before = balance(node)
    run = squall(
        with_registry(
            node,
            {"name": "add", "evm": {"transaction": ADD}, "record": {"trend": "gas", "value": "tx.gasUsed"}},
            {"evm": {"waitReceipt": {"hash": "${tx.hash}", "confirmations": 0, "result": "receipt"}}},
            {
                "name": "event",
                "evm": {
                    "waitEvent": {
                        "contract": "registry",
                        "event": "FileAdded",
                        "where": {"owner": "${wallet.address}", "url": "ipfs://${vu}"},
                        "condition": "event.args.fileId > 0",
                        "fromBlock": "${tx.block}",
                        "extract": {"file": "fileId"},
                        "result": "added",
                    }
                },
            },
            {"evm": {"call": {"contract": "registry", "function": "filesCount", "result": "files"}}},
            {"evm": {"balance": {"result": "left"}}},
            {
                "evm": {
                    "rpc": {"method": "eth_getTransactionReceipt", "params": ["${tx.hash}"], "result": "raw"}
                }
            },
            {"encrypt": {"data": "x", "password": "p", "result": "sealed"}},
            {"evm": {"rpc": {"method": "web3_sha3", "params": ["${sealed}"], "result": "digest"}}},
            {
                "check": {
                    "bytes are hexadecimal to a node": "len(digest) == 66",
                    "its event": "tx.events[0].name == 'FileAdded' and tx.events[0].args.fileId == file",
                    "its receipt": "receipt.hash == tx.hash and raw.transactionHash == tx.hash",
                    "its event again": "added.args.owner == wallet.address and added.block == tx.block",
                    "counted": "files >= file",
                    "paid for": "left < 10 ** 18 and tx.fee > 0",
                }
            },
            teardown={
                "steps": [
                    {"evm": {"call": {"contract": "registry", "function": "filesCount", "result": "files"}}}
                ]
            },
        )
    )
    ended = run.ended()
    assert ended.outcome()[:2] == (0, "Passed"), ended.out
    summary = ended.summary
    rates = {row.metric: row.values for row in summary.metrics if row.tags == {}}
    assert rates["checks"]["rate"] == 1
    assert ended.count("evm_txs") == 2
    assert ended.count("iterations") == 2
    events = [line["event"] for line in ended.log]
    assert {"setup_action", "teardown_action", "FundersPaid", "Swept"} <= set(events)
    swept = next(line for line in ended.log if line["event"] == "Swept")
    assert swept["left"] == "0"
    assert 0 < before - balance(node) < 10**16  # gas


FAILURES = {
    "evm_reverted": (
        {
            "evm": {
                "transaction": {
                    **ADD,
                    "function": "requestContributionProof",
                    "args": [999],
                    "gas": {"policy": "fixed", "limit": 200000},
                }
            }
        },
        "NoSuchFile",
    ),
    "evm_insufficient_funds": (
        {"evm": {"transaction": {"to": NOBODY, "value": "5000"}}},
        "Insufficient funds",
    ),
    "evm_arguments": ({"evm": {"transaction": {"to": "${wallet.index}", "value": "1"}}}, "is no address"),
    "evm_event": (
        {"evm": {"waitEvent": {"contract": "registry", "event": "RewardClaimed", "timeout": "300ms"}}},
        "no event RewardClaimed",
    ),
    "evm_timeout": (
        {"evm": {"waitReceipt": {"hash": f"0x{'ab' * 32}", "timeout": "300ms"}}},
        "is in no block",
    ),
    "evm_method_unknown": ({"evm": {"rpc": {"method": "eth_nothing"}}}, "eth_nothing"),
    "expression": (
        {
            "evm": {
                "call": {"contract": "registry", "function": "nonces", "args": ["${1 // (wallet.index * 0)}"]}
            }
        },
        "by zero",
    ),
}


def test_an_address_that_comes_of_an_expression_is_refused_when_it_is_mistyped() -> None:
    right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    for text in (right, right.lower(), right[2:]):
        assert as_address(text) == bytes.fromhex(right[2:])
    with pytest.raises(
        ValueError, match=f"one of them is mistyped .* if every digit is right, write {right}"
    ):
        as_address(f"{right[:-1]}D")


def test_what_fails_has_a_class_and_an_example(squall: Squall, node: EvmNode) -> None:
    test = with_registry(node)
    (scenario,) = test["spec"]["scenarios"]
    test["spec"]["scenarios"] = [
        {**scenario, "name": error, "vus": 1, "steps": [{"name": "wrong"} | step]}
        for error, (step, _) in FAILURES.items()
    ]
    ended = squall(test).ended()
    assert ended.count("iterations_failed") == len(FAILURES), ended.out
    found = {row.error: row for row in ended.summary.errors}
    assert {row.scenario: error for error, row in found.items()} == {error: error for error in FAILURES}
    for error, (_, words) in FAILURES.items():
        assert words in (found[error].example or ""), found[error]


def test_wallets_sign_and_encrypt(squall: Squall, node: EvmNode) -> None:
    steps = [
        {"evm": {"sign": {"message": "hello", "result": "signature"}}},
        {"evm": {"sign": {"message": "hello", "result": "again"}}},
        {"generate": {"size": "2KiB", "result": "profile"}},
        {"encrypt": {"data": "${profile}", "message": "unlock", "result": "raw"}},
        {"decrypt": {"data": "${raw}", "message": "unlock", "result": "opened"}},
        {
            "encrypt": {
                "data": "${profile}",
                "password": "${var.word}",
                "encoding": "base64",
                "result": "locked",
            }
        },
        {"decrypt": {"data": "${locked}", "password": "${var.word}", "result": "opened2"}},
        {
            "encrypt": {
                "data": "${profile}",
                "publicKey": "${wallet.publicKey}",
                "encoding": "hex",
                "result": "sealed",
            }
        },
        {
            "check": {
                "signed": "signature == again and len(signature) == 132",
                "same": "opened == profile and opened2 == profile",
                "exact": "len(profile) == 2048",
                "hidden": "len(sealed) > 4096 and sealed[:2] == '0x'",
            }
        },
        {"name": "other", "decrypt": {"data": "${locked}", "password": "wrong", "result": "nothing"}},
    ]
    run = squall(
        on_chain(node, *steps, evm={"funding": None}, variables=[{"name": "word", "value": "let me in"}])
    )
    ended = run.ended()
    rates = {row.metric: row.values for row in ended.summary.metrics if row.tags == {}}
    assert rates["checks"]["rate"] == 1, ended.out
    assert [(row.error, row.step, row.count) for row in ended.summary.errors] == [("encryption", "other", 2)]


def test_validation_knows_what_a_wallet_an_event_and_a_receipt_have() -> None:
    event = Abi.parse(["event Paid(uint256 indexed id)"]).event("Paid")
    log = {"topics": [event.topic, f"0x{7:064x}"], "data": "0x", "address": NOBODY, "transactionHash": "0x1"}
    assert tuple(view_of(event, log, 3)) == EVENT_MEMBERS
    landing = Inclusion("0x1", 1, 21_000, 1, 3, "0x2", 0, 0.0, 0.0, None, msgspec.Raw(b"[]"))
    assert tuple(receipt_view(landing, ())) == RECEIPT_MEMBERS
    wallet = Wallet.of(0, wallet_key(b"a seed", 0), Account.__new__(Account))
    assert tuple(wallet.shown) == WALLET_MEMBERS
