"""The first transaction that the page on chains teaches is sent, and what is left comes back, as the page says."""

from __future__ import annotations

from typing import Any

import yaml
from support.anvil import anvil
from support.chainruns import FUNDER, balance
from support.documentation import blocks
from support.manifests import ROOT
from support.squallrun import Squall

PAGE = ROOT / "docs" / "evm.md"
GAS = 2 * 10**16
"""More than the gas of all that is sent costs, in wei; what wallets are lent is ten whole tokens."""


def test_the_first_transaction_of_the_page_is_sent_and_what_is_left_comes_back(squall: Squall) -> None:
    manifest: dict[str, Any] = yaml.safe_load(
        next(each.text for each in blocks("yaml") if each.page == PAGE and "kind: LoadTest" in each.text)
    )
    manifest["spec"]["scenarios"][0]["duration"] = "3s"
    with anvil(block_time=0.5) as node:
        before = balance(node)
        environment = {"RPC_URL": node.url, "FUNDER_KEY": FUNDER, "WALLET_SEED": "words of the page"}
        ended = squall(manifest, environ=environment).ended()
        spent = before - balance(node)
    assert ended.outcome()[1] in ("Passed", "Invalid"), ended.out  # a busy machine makes a run invalid
    assert {each.state for each in ended.summary.thresholds} == {"pass"}
    assert ended.count("evm_txs") == 30
    checks = {check.name: (check.passes, check.fails) for check in ended.summary.checks}
    assert checks == {"is in a block": (30, 0), "has paid": (30, 0)}
    assert 0 < spent < GAS
