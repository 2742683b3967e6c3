"""Where a whole run's wallets and money come from: keys of a file, and several funders, each of which gets back its own."""

from __future__ import annotations

from typing import Any

from support.anvil import anvil
from support.chainruns import FUNDER, FUNDER_ADDRESS, NOBODY, balance, on_chain, receivers
from support.squallrun import Squall

from squall_runner.evm.signing.keys import funder_key, parse_key, wallet_key

SECOND = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
"""The second of the accounts that a development node has made rich."""
SEED = "a seed of three shards"
PAY: dict[str, Any] = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "1 wei"}}}
MOST_GAS = 10**16
"""More than a run here pays for gas, and much less than any wallet is lent."""


def test_wallets_are_those_of_a_file_and_keep_what_they_have(squall: Squall) -> None:
    keys = [wallet_key(b"somebody's own", index) for index in range(4)]
    lines = "\n".join(f"0x{key._private.to_hex()}" for key in keys)
    files = [{"name": "keys.txt", "inline": lines}]
    with anvil() as node:
        test = on_chain(node, PAY, evm={"wallets": {"keys": "keys.txt"}}, files=files, shards=2)
        test["spec"]["scenarios"][0] |= {"vus": 4}
        before = balance(node)
        ended = squall(test, processes=2).ended()
        assert ended.outcome()[1] == "Passed", ended.out
        left = {key.address: balance(node, key.address) for key in keys}
        paid = before - balance(node)
        senders = receivers(node, 1)
    assert sorted(senders) == sorted(address.lower() for address in left)
    assert all(0 < 10**18 - amount < MOST_GAS for amount in left.values()), left
    assert 0 < paid - sum(left.values()) < MOST_GAS, "what shards were lent besides has come back"
    shown = "".join(file.read_text(errors="replace") for file in ended.results.glob("*.json*"))
    assert not [key for key in keys if key._private.to_hex() in shown + ended.out]


def test_each_of_two_funders_pays_for_its_shards_and_gets_back_its_own(squall: Squall) -> None:
    funders = (FUNDER_ADDRESS, parse_key(SECOND).address)
    with anvil() as node:
        evm = {
            "wallets": {"seed": SEED, "count": 6},
            "funding": {"keys": [FUNDER, SECOND], "amount": "1", "ahead": 2},
        }
        test = on_chain(node, PAY, evm=evm, shards=3)
        test["spec"]["scenarios"][0] |= {"vus": 6}
        before = [balance(node, each) for each in funders]
        ended = squall(test, processes=2).ended()
        assert ended.outcome()[1] == "Passed", ended.out
        spent = [old - balance(node, each) for old, each in zip(before, funders, strict=True)]
        last = int(node.rpc_now("eth_blockNumber"), 16)
        blocks = [node.rpc_now("eth_getBlockByNumber", [hex(number), True]) for number in range(last + 1)]
        moves = {(one["from"], one["to"]) for block in blocks for one in block["transactions"]}
        senders = receivers(node, 1)
    assert sorted(senders) == sorted(wallet_key(SEED.encode(), index).address.lower() for index in range(6))
    assert all(0 < each < MOST_GAS for each in spent), spent
    for shard in range(3):
        own, other = funders[shard % 2].lower(), funders[(shard + 1) % 2].lower()
        account = funder_key(SEED.encode(), shard).address.lower()
        assert {(own, account), (account, own)} <= moves
        assert not {(other, account), (account, other)} & moves
