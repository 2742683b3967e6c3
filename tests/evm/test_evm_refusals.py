"""What is wrong with a manifest, its variables or its chain, and only a runner can find: the run ends with 104, and says what to write."""

from __future__ import annotations

from typing import Any

from support.anvil import anvil
from support.chainruns import FUNDER, NOBODY, on_chain, transactions
from support.squallrun import Squall

SEED = {"name": "seed", "value": "a seed"}
KEY = {"name": "funder", "secret": {"name": "chain", "key": "funder"}, "env": "CHAIN_FUNDER"}
WALLETS: dict[str, Any] = {"seed": "${var.seed}", "count": 4}


def calling(*args: Any, function: str = "set(uint8)") -> dict[str, Any]:
    return {"name": "set", "evm": {"transaction": {"to": NOBODY, "function": function, "args": list(args)}}}


def signing(**changes: Any) -> dict[str, Any]:
    typed = {
        "domain": {"name": "x"},
        "types": {"Mail": [{"name": "to", "type": "address"}]},
        "primaryType": "Mail",
        "message": {"to": NOBODY},
    }
    return {"name": "permit", "evm": {"sign": {"typedData": typed | changes, "result": "signed"}}}


CASES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "a number that does not fit": (calling(300), "", "ManifestInvalid", "300"),
    "a text for a number": (calling("many"), "", "ManifestInvalid", "many"),
    "an address that is none": (calling("0x12", function="f(address)"), "", "ManifestInvalid", "0x12"),
    "typed data of a type that there is not": (
        signing(primaryType="Letter"),
        "",
        "ManifestInvalid",
        "Letter",
    ),
    "typed data whose value does not fit": (signing(message={"to": "me"}), "", "ManifestInvalid", "address"),
    "a seed that is empty": (calling(3), "seed=", "KeyInvalid", "spec.evm.wallets.seed"),
    "a funder's key that is none": (
        calling(3),
        "funder=0x12",
        "KeyInvalid",
        "spec.evm.funding.keys[0]",
    ),
}


def test_an_address_without_code_is_the_manifests_fault(squall: Squall) -> None:
    contract = {"name": "token", "address": NOBODY, "signatures": ["function set(uint8)"]}
    step = {"name": "set", "evm": {"transaction": {"contract": "token", "function": "set", "args": [1]}}}
    with anvil() as node:
        ended = squall(on_chain(node, step, evm={"contracts": [contract]})).ended()
        assert transactions(node) == 0
    assert ended.outcome() == (104, "Error", "", "ContractMissing"), ended.out
    assert "write the address that it has on this chain" in ended.said, ended.out


def test_the_faults_of_a_manifest_end_with_its_code_before_anything_is_sent(squall: Squall) -> None:
    evm = {"wallets": WALLETS, "funding": {"keys": ["${var.funder}"], "amount": "1"}}
    with anvil() as node:
        runs = {
            name: squall(
                on_chain(node, step, evm=evm, variables=[SEED, KEY]),
                *(["--var", given] if given else []),
                environ={"CHAIN_FUNDER": FUNDER},
            )
            for name, (step, given, _, _) in CASES.items()
        }
        ended = {name: run.ended() for name, run in runs.items()}
        assert transactions(node) == 0
    for name, (_, _, reason, said) in CASES.items():
        assert ended[name].outcome() == (104, "Error", "", reason), f"{name}: {ended[name].out}"
        assert said in ended[name].said, f"{name}: {ended[name].out}"
