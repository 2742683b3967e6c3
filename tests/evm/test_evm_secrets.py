"""Keys that spend money stay where they are: in the runner's memory. Nothing that a run prints or keeps has one."""

from __future__ import annotations

from typing import Any

from support.anvil import anvil
from support.chainruns import FUNDER, NOBODY, on_chain
from support.squallrun import Ended, Squall

from squall_runner.evm.signing.keys import Key, funder_key, wallet_key

SEED = "battery horse of nobody"
WALLETS = 10
SECRET = {"name": "chain", "key": "k"}
VARIABLES = [
    {"name": "funder", "secret": SECRET, "env": "CHAIN_FUNDER"},
    {"name": "seed", "secret": SECRET, "env": "CHAIN_SEED"},
]
FINE = {"name": "fine", "evm": {"transaction": {"to": NOBODY, "value": "1 wei", "result": "sent"}}}
SIGNED = {"name": "signed", "evm": {"sign": {"message": "mine", "result": "signature"}}}
SHOWN = {"name": "shown", "check": {"odd": "sent.hash == signature + wallet.address"}}
FAILING = {
    "poor": {"transaction": {"to": NOBODY, "value": "1000", "gas": {"policy": "fixed", "limit": 21_000}}},
    "reverted": {
        "deploy": {
            "contract": "broken",
            "bytecode": "0x60006000fd",
            "gas": {"policy": "fixed", "limit": 100_000},
        }
    },
    "unfit": {"balance": {"of": "${signature}", "result": "no"}},
}
STEPS: list[dict[str, Any]] = [
    FINE,
    SIGNED,
    SHOWN,
    *({"name": name, "onError": "continue", "evm": do} for name, do in FAILING.items()),
]


def secret_of(key: Key) -> str:
    return key._private.to_hex()


def seen(ended: Ended) -> dict[str, str]:
    """All that was printed and kept, by its name."""
    files = [path for path in ended.results.rglob("*") if path.is_file() and path.suffix != ".gz"]
    return {"output": ended.out} | {path.name: path.read_text(errors="replace") for path in files}


def test_no_key_and_no_seed_is_ever_seen(squall: Squall) -> None:
    evm = {
        "wallets": {"seed": "${var.seed}", "count": WALLETS},
        "funding": {"keys": ["${var.funder}"], "amount": "1", "ahead": 4, "deployMulticall": True},
        "contracts": [{"name": "broken", "signatures": ["constructor()"]}],
    }
    logs = {"logs": {"level": "debug", "iterations": {"sample": "100%", "requests": True}}}
    with anvil() as node:
        test = on_chain(node, *STEPS, evm=evm, variables=VARIABLES, outputs=logs)
        ended = squall(test, environ={"CHAIN_FUNDER": FUNDER, "CHAIN_SEED": SEED}).ended()
    assert ended.count("evm_txs") > 0, ended.out
    failed = {error.step for error in ended.summary.errors}
    assert set(FAILING) <= failed, ended.out
    keys = [FUNDER.removeprefix("0x"), secret_of(funder_key(SEED.encode(), 0))]
    keys += [secret_of(wallet_key(SEED.encode(), index)) for index in range(WALLETS)]
    secrets = [SEED, *keys, *(str(int(key, 16)) for key in keys)]
    shown = seen(ended)
    assert {"summary.json", "report.md", "log.jsonl"} <= shown.keys()
    assert [name for name, text in shown.items() for secret in secrets if secret in text.lower()] == []
