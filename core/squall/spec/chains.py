"""Chains whose tokens are worth money, so that no load test spends any of them by accident.

A run names such a chain by `evm.chainId`, or is refused. The numbers are those of the public registry of chain ids
(EIP-155); what is not among them is a chain of somebody's own, or for tests.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PRODUCTION: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "Ethereum",
        10: "OP Mainnet",
        14: "Flare",
        25: "Cronos",
        30: "Rootstock",
        40: "Telos",
        56: "BNB Smart Chain",
        61: "Ethereum Classic",
        100: "Gnosis",
        122: "Fuse",
        130: "Unichain",
        137: "Polygon",
        146: "Sonic",
        169: "Manta Pacific",
        204: "opBNB",
        250: "Fantom",
        252: "Fraxtal",
        288: "Boba",
        324: "zkSync Era",
        369: "PulseChain",
        480: "World Chain",
        592: "Astar",
        999: "HyperEVM",
        1030: "Conflux eSpace",
        1088: "Metis",
        1101: "Polygon zkEVM",
        1116: "Core",
        1284: "Moonbeam",
        1285: "Moonriver",
        1480: "Vana",
        2020: "Ronin",
        2222: "Kava",
        2741: "Abstract",
        4689: "IoTeX",
        5000: "Mantle",
        7700: "Canto",
        8217: "Kaia",
        8453: "Base",
        23294: "Oasis Sapphire",
        33139: "ApeChain",
        34443: "Mode",
        42161: "Arbitrum One",
        42170: "Arbitrum Nova",
        42220: "Celo",
        43114: "Avalanche C-Chain",
        57073: "Ink",
        59144: "Linea",
        80094: "Berachain",
        81457: "Blast",
        167000: "Taiko",
        534352: "Scroll",
        7777777: "Zora",
        1313161554: "Aurora",
        1666600000: "Harmony",
    }
)
"""Their names, by id."""


def refusal(found: int, named: int | None) -> tuple[str, str] | None:
    """Message and hint why a run must not go to a chain; None when it may.

    Args:
        found: The id that the node gave.
        named: What the manifest says, if anything.
    """
    if named == found:
        return None
    if named is not None:
        return (
            f"the chain has the id {found}, and spec.evm.chainId is {named}",
            "is this the right endpoint? Correct one of the two",
        )
    if found in PRODUCTION:
        return (
            f"the chain has the id {found}: that is {PRODUCTION[found]}, whose tokens are worth money",
            f"write chainId: {found} below spec.evm if that is really meant",
        )
    return None
